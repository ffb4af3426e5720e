import { languageOf, languages, type Language } from '../i18n/texts';

export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

// A browser may forbid storage: then a choice holds for this page.
function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function write(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // As above.
  }
}

export function keptTheme(): Theme {
  const kept = read('mezzo.theme');
  return themes.find((theme) => theme === kept) ?? 'system';
}

export function applyTheme(theme: Theme): void {
  write('mezzo.theme', theme);
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function keptLanguage(): Language {
  const kept = read('mezzo.language');
  return (Object.keys(languages) as Language[]).find((language) => language === kept) ?? languageOf(navigator.languages);
}

export function applyLanguage(language: Language): void {
  write('mezzo.language', language);
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : language;
}
