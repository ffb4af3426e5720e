import type { Language } from '../i18n/texts';
import { useTexts } from './context';
import { themes, type Theme } from './preferences';

const LANGUAGES: readonly (readonly [Language, string])[] = [
  ['en', 'English'],
  ['zh', '中文'],
];

/** The choice of appearance and language. */
export function Looks(props: {
  language: Language;
  theme: Theme;
  chooseLanguage: (language: Language) => void;
  chooseTheme: (theme: Theme) => void;
}) {
  const t = useTexts();
  return (
    <div class="looks">
      <select aria-label={t('app.theme')} value={props.theme} onChange={(event) => props.chooseTheme(event.currentTarget.value as Theme)}>
        {themes.map((theme) => (
          <option key={theme} value={theme}>
            {t(`app.theme.${theme}`)}
          </option>
        ))}
      </select>
      <select
        aria-label={t('app.language')}
        value={props.language}
        onChange={(event) => props.chooseLanguage(event.currentTarget.value as Language)}
      >
        {LANGUAGES.map(([language, name]) => (
          <option key={language} value={language}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}
