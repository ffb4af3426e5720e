import { en, type Dictionary, type TextKey } from './en';
import { zh } from './zh';

export const languages = { en, zh } satisfies Record<string, Dictionary>;
export type Language = keyof typeof languages;
export type { TextKey };

/** The text of `key` with {names} replaced by `values`. */
export function textOf(language: Language, key: TextKey, values: Record<string, string | number> = {}): string {
  return languages[language][key].replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** The dictionary for what a browser prefers. */
export function languageOf(preferred: readonly string[]): Language {
  for (const tag of preferred) {
    const main = tag.toLowerCase().split('-')[0];
    if (main === 'zh' || main === 'en') return main;
  }
  return 'en';
}
