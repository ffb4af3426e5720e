import { expect, test } from 'vitest';
import type { Caller, Scope } from '../api/types';
import { may, roleOf } from './rights';

const caller = (...scopes: Scope[]): Caller => ({ object: 'caller', tenant: 't', project: null, key: null, user: null, scopes });

test('scopes include what the server says they do', () => {
  expect(may(['infer'], 'read')).toBe(true);
  expect(may(['infer'], 'observe')).toBe(false);
  expect(may(['operate'], 'observe')).toBe(true);
  expect(may(['operate'], 'infer')).toBe(false);
  expect(may(['admin'], 'operate')).toBe(true);
  expect(may([], 'read')).toBe(false);
});

test('a role is the most that the scopes allow', () => {
  expect(roleOf(caller('admin'))).toBe('admin');
  expect(roleOf(caller('infer', 'operate'))).toBe('operator');
  expect(roleOf(caller('infer', 'observe'))).toBe('developer');
  expect(roleOf(caller('observe'))).toBe('observer');
  expect(roleOf(caller('read'))).toBe('viewer');
});
