import type { Caller, Scope } from '../api/types';

// What a scope includes (docs/protocol-tenants.md); whoami names those that no other includes.
const INCLUDED: Record<Scope, readonly Scope[]> = {
  read: [],
  infer: ['read'],
  keys: ['read'],
  manage: ['read', 'keys'],
  observe: ['read'],
  operate: ['read', 'observe'],
  admin: ['read', 'infer', 'keys', 'manage', 'observe', 'operate'],
};

/** Whether a caller with these scopes may do what `wanted` says. */
export function may(scopes: readonly Scope[], wanted: Scope): boolean {
  return scopes.some((scope) => scope === wanted || INCLUDED[scope].includes(wanted));
}

export type RoleName = 'admin' | 'operator' | 'observer' | 'developer' | 'viewer';

/** The word for what the caller may do at most. */
export function roleOf(caller: Caller): RoleName {
  const has = (scope: Scope) => may(caller.scopes, scope);
  if (has('admin')) return 'admin';
  if (has('operate')) return 'operator';
  if (has('infer')) return 'developer';
  return has('observe') ? 'observer' : 'viewer';
}
