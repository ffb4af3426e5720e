import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
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
  expect(same.sort()).toEqual(['app.none', 'app.title', 'overview.p50', 'usage.csv']);
});

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return sources(path);
    return /\.tsx?$/.test(name) && !name.endsWith('_test.ts') ? [readFileSync(path, 'utf8')] : [];
  });
}

test('every text is used', () => {
  const all = sources(join(__dirname, '..')).filter((text) => !text.includes("'app.skip': ")).join('\n');
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
