import { useEffect, useRef, useState } from 'preact/hooks';
import { asProblem } from '../api/problem';
import type { Language } from '../i18n/texts';
import type { Turned } from './app';
import { useTexts } from './context';
import { Looks } from './looks';
import { beginSignIn, type Issuer } from './oidc';
import type { Theme } from './preferences';

function hostOf(issuer: string): string {
  try {
    return new URL(issuer).host;
  } catch {
    return issuer;
  }
}

export function SignIn(props: {
  issuers: readonly Issuer[];
  turned: Turned | null; // From before.
  enter: (key: string) => Promise<void>;
  language: Language;
  theme: Theme;
  chooseLanguage: (language: Language) => void;
  chooseTheme: (theme: Theme) => void;
}) {
  const t = useTexts();
  const [key, setKey] = useState('');
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<Turned | null>(null);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);

  const attempt = async (work: () => Promise<void>) => {
    setBusy(true);
    setRefused(null);
    try {
      await work();
    } catch (thrown) {
      setRefused({ problem: asProblem(thrown), text: 'sign.failed' });
      field.current?.select();
    }
    setBusy(false);
  };
  const turned = refused ?? props.turned;
  return (
    <main class="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (key.trim() !== '') void attempt(() => props.enter(key.trim()));
        }}
      >
        <img src="/console/icon.svg" alt="" width="40" height="40" />
        <h1>{t('sign.title')}</h1>
        {turned !== null && (
          <div class="failure" role="alert">
            {t(turned.text, { message: turned.problem.message })}
            {turned.problem.reason !== '' && <span class="quiet mono"> {turned.problem.reason}</span>}
          </div>
        )}
        <label class="field">
          <span>{t('sign.key')}</span>
          <span class="with-button">
            <input
              ref={field}
              name="key"
              type={(shown ? 'text' : 'password') as 'password'} // The types allow no change of it; browsers do.
              value={key}
              autocomplete="off"
              spellcheck={false}
              autocapitalize="off"
              aria-invalid={refused !== null}
              aria-describedby="key-hint"
              onInput={(event) => setKey(event.currentTarget.value)}
            />
            <button type="button" class="plain" aria-pressed={shown} onClick={() => setShown(!shown)}>
              {shown ? t('sign.hide') : t('sign.show')}
            </button>
          </span>
          <small id="key-hint">{t('sign.hint')}</small>
        </label>
        <button type="submit" class="primary" disabled={busy || key.trim() === ''}>
          {busy ? t('sign.checking') : t('sign.in')}
        </button>
        {props.issuers.length > 0 && <p class="or">{t('sign.or')}</p>}
        {props.issuers.map((issuer) => (
          <button key={issuer.issuer} type="button" disabled={busy} onClick={() => void attempt(() => beginSignIn(issuer))}>
            {t('sign.with', { issuer: hostOf(issuer.issuer) })}
          </button>
        ))}
      </form>
      <Looks {...props} />
    </main>
  );
}
