import { expect, test } from 'vitest';
import type { UsageRow } from '../../api/types';
import { barsOf, sumsOf } from './report';

function row(start: string, tenant: string, requests: number): UsageRow {
  return { start, tenant, requests, failed: 0, device_ms: 2 * requests, images: 0, video_seconds: 0, bytes_in: 0, bytes_out: 0, cache_hits: 0, saved_ms: 0, cost_micros: 0 };
}

const ROWS = [row('2026-01-01T00:00:00Z', 'a', 1), row('2026-01-02T00:00:00Z', 'b', 5), row('2026-01-02T00:00:00Z', 'a', 2), row('2026-01-03T00:00:00Z', 'c', 4)];
const SPAN = { from: '2026-01-01T00:00:00Z', to: '2026-01-03T12:00:00Z', by: 'day' } as const;

test('rows of a group are added up, the largest first, and stay as they were', () => {
  const sums = sumsOf(ROWS, 'tenant', 'requests');
  expect(sums.map(({ name, sum }) => [name, sum.requests, sum.device_ms])).toEqual([['b', 5, 10], ['c', 4, 8], ['a', 3, 6]]);
  expect(ROWS[0]?.requests).toBe(1);
});

test('bars stand on each other, and their top is the total', () => {
  const bars = barsOf(ROWS, 'tenant', 'requests', SPAN, 5);
  expect(bars.names).toEqual(['b', 'c', 'a']);
  expect(bars.data[0].map((s) => new Date(1000 * s).getUTCDate())).toEqual([1, 2, 3]);
  expect(bars.data.slice(1)).toEqual([[1, 7, 4], [1, 2, 4], [1, 2, 0]]);
});

test('what is not among the first are others', () => {
  const bars = barsOf(ROWS, 'tenant', 'requests', SPAN, 1);
  expect([bars.names, bars.others]).toEqual([['b'], true]);
  expect(bars.data.slice(1)).toEqual([[1, 7, 4], [1, 2, 4]]);
});

test('nothing used is nothing drawn', () => {
  expect(barsOf([], 'tenant', 'requests', SPAN, 5).data).toHaveLength(1);
  expect(sumsOf([], 'model', 'device_ms')).toEqual([]);
});
