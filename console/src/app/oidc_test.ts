import { expect, test } from 'vitest';
import { base64url, challengeOf, tokenOf } from './oidc';

test('the challenge is that of RFC 7636, appendix B', async () => {
  expect(await challengeOf('dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk')).toBe('E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM');
});

test('base64url has no padding and nothing that an address would change', () => {
  expect(base64url(new Uint8Array([251, 255, 254, 1]))).toBe('-__-AQ');
});

test('the token is one that the server can check', () => {
  expect(tokenOf({ access_token: 'a.b.c', id_token: 'd.e.f' })).toBe('a.b.c');
  expect(tokenOf({ access_token: 'opaque', id_token: 'd.e.f' })).toBe('d.e.f');
  expect(() => tokenOf({ access_token: 'opaque' })).toThrow(/no token/);
});
