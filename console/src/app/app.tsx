import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
import { Client } from '../api/client';
import { asProblem, type Problem } from '../api/problem';
import type { Caller } from '../api/types';
import type { Language } from '../i18n/texts';
import { LanguageContext, SessionContext } from './context';
import { finishSignIn, type Issuer } from './oidc';
import { applyLanguage, applyTheme, keptLanguage, keptTheme, type Theme } from './preferences';
import { Shell } from './shell';
import { SignIn } from './sign_in';

// Of this tab alone, and gone when it closes.
const KEY = 'mezzo.key';

/** Why somebody is at the door. */
export interface Turned {
  problem: Problem;
  text: 'sign.failed' | 'sign.expired';
}

interface SignInWays {
  version: string;
  issuers: Issuer[];
}

export function App() {
  const [language, setLanguage] = useState<Language>(keptLanguage);
  const [theme, setTheme] = useState<Theme>(keptTheme);
  const [ways, setWays] = useState<SignInWays>({ version: '', issuers: [] });
  const [session, setSession] = useState<{ client: Client; caller: Caller } | null>(null);
  const [asked, setAsked] = useState(false); // Whether the key of this tab has been tried.
  const [problem, setProblem] = useState<Turned | null>(null);

  const leave = useCallback((why: Problem | null) => {
    sessionStorage.removeItem(KEY);
    setSession(null);
    setProblem(why === null ? null : { problem: why, text: 'sign.expired' });
  }, []);

  const enter = useCallback(
    async (key: string) => {
      const caller = await new Client(key).get<Caller>('/v1/whoami');
      if (key === '') sessionStorage.removeItem(KEY);
      else sessionStorage.setItem(KEY, key);
      setProblem(null);
      setSession({ client: new Client(key, leave), caller });
    },
    [leave],
  );

  useEffect(() => {
    const begin = async () => {
      setWays(await new Client('').get<SignInWays>('/console/sign-in.json'));
      const token = await finishSignIn();
      const kept = token ?? sessionStorage.getItem(KEY) ?? '';
      try {
        await enter(kept);
      } catch (thrown) {
        // Without a key being refused is no news.
        if (kept !== '') leave(asProblem(thrown));
      }
    };
    begin()
      .catch((thrown) => setProblem({ problem: asProblem(thrown), text: 'sign.failed' }))
      .finally(() => setAsked(true));
  }, [enter, leave]);

  const chooseLanguage = useCallback((chosen: Language) => {
    applyLanguage(chosen);
    setLanguage(chosen);
  }, []);
  const chooseTheme = useCallback((chosen: Theme) => {
    applyTheme(chosen);
    setTheme(chosen);
  }, []);

  const context = useMemo(() => (session === null ? null : { ...session, language }), [session, language]);
  const looks = { language, theme, chooseLanguage, chooseTheme };
  return (
    <LanguageContext.Provider value={language}>
      {context !== null ? (
        <SessionContext.Provider value={context}>
          <Shell {...looks} version={ways.version} signOut={() => leave(null)} />
        </SessionContext.Provider>
      ) : (
        asked && <SignIn {...looks} issuers={ways.issuers} turned={problem} enter={enter} />
      )}
    </LanguageContext.Provider>
  );
}
