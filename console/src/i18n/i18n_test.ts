import { expect, test } from 'vitest';
import { en, type TextKey } from './en';
import { languageOf, languages, textOf } from './texts';
import { zh } from './zh';

const names = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((found) => found[1]).sort();

test('all languages have the same texts, with the same names in them', () => {
  for (const dictionary of Object.values(languages)) {
    expect(Object.keys(dictionary).sort()).toEqual(Object.keys(en).sort());
    for (const key of Object.keys(en) as TextKey[]) {
      expect(dictionary[key], key).not.toBe('');
      expect(names(dictionary[key]), key).toEqual(names(en[key]));
    }
  }
});

test('the Chinese texts are Chinese', () => {
  const same = (Object.keys(en) as TextKey[]).filter((key) => zh[key] === en[key]);
  expect(same.sort()).toEqual(['app.none', 'overview.p50', 'usage.csv']);
});

const SOURCES = import.meta.glob<string>(['../**/*.ts', '../**/*.tsx', '!../**/*_test.ts', '!./en.ts', '!./zh.ts'], { query: '?raw', import: 'default', eager: true });

test('every text is used', () => {
  const all = Object.values(SOURCES).join('\n');
  expect(all.length).toBeGreaterThan(10_000);
  const unused = Object.keys(en).filter((key) => {
    const stem = key.slice(0, key.lastIndexOf('.') + 1);
    return !all.includes(`'${key}'`) && !all.includes('`' + stem + '${');
  });
  expect(unused).toEqual([]);
});

test('values are put in, and what is not given stays', () => {
  expect(textOf('en', 'app.needs', { scope: 'observe' })).toBe('This needs the scope “observe”. Your key has: {have}.');
  expect(textOf('zh', 'keys.go', { room: '$&' })).toBe('前往$&');
});

test('the first language of the browser that there is', () => {
  expect(languageOf(['de-DE', 'zh-CN', 'en'])).toBe('zh');
  expect(languageOf(['EN-us'])).toBe('en');
  expect(languageOf([])).toBe('en');
});
