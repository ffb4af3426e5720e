import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Client } from '../api/client';
import type { Caller, Scope } from '../api/types';
import { textOf, type Language, type TextKey } from '../i18n/texts';
import { may } from './rights';

/** What every room has at hand. */
export interface Session {
  client: Client;
  caller: Caller;
  language: Language;
}

export const SessionContext = createContext<Session | null>(null);
export const LanguageContext = createContext<Language>('en');

export function useSession(): Session & { can: (scope: Scope) => boolean } {
  const session = useContext(SessionContext);
  if (session === null) throw new Error('outside of a session');
  return { ...session, can: (scope) => may(session.caller.scopes, scope) };
}

/** The texts of the language that is chosen. */
export function useTexts(): (key: TextKey, values?: Record<string, string | number>) => string {
  const language = useContext(LanguageContext);
  return (key, values) => textOf(language, key, values);
}
