import { expect, test } from 'vitest';
import { formatBytes, formatMoney, formatMs, formatNumber, formatPercent, formatSpan, formatTime, formatZoned, shortId, zoneName } from './format';

test('numbers have as many digits as matter', () => {
  expect([0, 0.123, 12.34, 123.4, 1234567].map((n) => formatNumber(n, 'en'))).toEqual(['0', '0.12', '12.3', '123', '1,234,567']);
});

test('times take the unit that fits', () => {
  expect([null, 0.05, 3.4, 999.6, 1500, 90_000, 600_000, 36_000_000].map((ms) => formatMs(ms, 'en'))).toEqual([
    '–', '50 µs', '3.4 ms', '1,000 ms', '1.5 s', '90 s', '10 min', '10 h',
  ]);
});

test('bytes are counted in powers of 1024', () => {
  expect([0, 1023, 1536, 5 * 2 ** 30].map((n) => formatBytes(n, 'en'))).toEqual(['0 B', '1,023 B', '1.5 KiB', '5 GiB']);
});

test('shares are percent', () => {
  expect([0, 0.004, 0.5, 1].map((n) => formatPercent(n, 'en'))).toEqual(['0%', '0.4%', '50%', '100%']);
});

test('what is no time is a dash', () => {
  expect(formatTime(null, 'en')).toBe('–');
  expect(formatTime('soon', 'en')).toBe('–');
  expect(formatTime('2026-01-31T12:00:00.000Z', 'en')).toMatch(/Jan|Feb/);
});

test('a span ends now while it goes on, and is never negative', () => {
  const start = '2026-01-31T12:00:00.000Z';
  expect(formatSpan(null, null, 0, 'en')).toBe('–');
  expect(formatSpan(start, '2026-01-31T12:00:02.500Z', 0, 'en')).toBe('2.5 s');
  expect(formatSpan(start, null, Date.parse(start) - 5, 'en')).toBe('0 s');
});

test('money has its currency, known or not', () => {
  expect(formatMoney(2_500_000, 'EUR', 'en')).toBe('€2.50');
  expect(formatMoney(2_500_000, null, 'en')).toBe('2.5');
  expect(formatMoney(1_000_000, 'tokens', 'en')).toBe('1 tokens');
});

test('an id is told by its end', () => {
  expect(shortId('01990000-0000-7000-8000-0000abcd1234')).toBe('…abcd1234');
  expect(shortId('short')).toBe('short');
});

test('moments have a zone where one asks for it', () => {
  expect(formatZoned('2026-11-23T05:00:00Z', 'en')).toMatch(/2026.*(UTC|GMT|[A-Z]{3,4})/);
  expect(formatZoned('no time', 'en')).toBe('no time');
  expect(zoneName('en', 0)).toContain(Intl.DateTimeFormat().resolvedOptions().timeZone);
});
