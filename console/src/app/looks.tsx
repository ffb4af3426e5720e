import type { Language } from '../i18n/texts';
import { Select } from '../ui/parts';
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
      <Select label={t('app.theme')} value={props.theme} options={themes.map((theme) => [theme, t(`app.theme.${theme}`)] as const)} onChange={props.chooseTheme} />
      <Select label={t('app.language')} value={props.language} options={LANGUAGES} onChange={props.chooseLanguage} />
    </div>
  );
}
