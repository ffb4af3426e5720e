// Signing people in: OpenID Connect's authorization code flow with PKCE (RFC 7636), for a public client.

export interface Issuer {
  issuer: string;
  client_id: string;
  scope: string;
}

interface Pending extends Issuer {
  state: string;
  verifier: string;
  token_endpoint: string;
}

const PENDING = 'mezzo.signing-in';

export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

export async function challengeOf(verifier: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))));
}

function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function here(): string {
  return `${location.origin}/console/`;
}

/** Leaves for the issuer's page. */
export async function beginSignIn(issuer: Issuer): Promise<void> {
  const answer = await fetch(`${issuer.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, {
    credentials: 'omit',
    signal: AbortSignal.timeout(10_000),
  });
  if (!answer.ok) throw new Error(`${issuer.issuer}: HTTP ${answer.status}`);
  const found = (await answer.json()) as Record<string, unknown>;
  const { authorization_endpoint, token_endpoint } = found;
  if (typeof authorization_endpoint !== 'string' || typeof token_endpoint !== 'string') throw new Error(`${issuer.issuer}: no endpoints`);
  const pending: Pending = { ...issuer, state: random(), verifier: random(), token_endpoint };
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  const target = new URL(authorization_endpoint);
  const parameters = {
    response_type: 'code',
    client_id: issuer.client_id,
    redirect_uri: here(),
    scope: issuer.scope,
    state: pending.state,
    code_challenge: await challengeOf(pending.verifier),
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(parameters)) target.searchParams.set(name, value);
  location.assign(target);
}

/** The token to call Mezzo with: the access token when it is a JWT, which the server can check; else the ID token. */
export function tokenOf(answer: Record<string, unknown>): string {
  for (const token of [answer.access_token, answer.id_token]) {
    if (typeof token === 'string' && token.split('.').length === 3) return token;
  }
  throw new Error('the issuer gave no token that the server can check');
}

/** When the issuer has just sent the browser back: the token. Otherwise null. The code leaves the address at once. */
export async function finishSignIn(): Promise<string | null> {
  const query = new URLSearchParams(location.search);
  const kept = sessionStorage.getItem(PENDING);
  if (!query.has('state') || kept === null) return null;
  sessionStorage.removeItem(PENDING);
  history.replaceState(null, '', here() + location.hash);
  const pending = JSON.parse(kept) as Pending;
  if (query.get('state') !== pending.state) throw new Error('the answer is not to the question of this tab');
  const code = query.get('code');
  if (code === null) throw new Error(query.get('error_description') ?? query.get('error') ?? 'the issuer gave no code');
  const answer = await fetch(pending.token_endpoint, {
    method: 'POST',
    credentials: 'omit',
    signal: AbortSignal.timeout(10_000),
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      redirect_uri: here(),
      client_id: pending.client_id,
      code_verifier: pending.verifier,
    }),
  });
  const found = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
  if (!answer.ok) throw new Error(String(found.error_description ?? found.error ?? `HTTP ${answer.status}`));
  return tokenOf(found);
}
