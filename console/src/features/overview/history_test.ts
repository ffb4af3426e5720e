import { expect, test } from 'vitest';
import type { OverviewSample } from '../../api/types';
import { linesOf, SHOWN, withSample } from './history';

function sample(number: number): OverviewSample {
  return {
    number,
    at: new Date(1_700_000_000_000 + 1000 * number).toISOString(),
    requests_per_second: number,
    failed_per_second: 1,
    limited_per_second: 2,
    p50_ms: null,
    p99_ms: 5,
    queued: 0,
    utilisation: 0.5,
  };
}

test('samples come once, in order, and the oldest go', () => {
  let samples: OverviewSample[] = [];
  for (let n = 1; n <= SHOWN + 20; n++) {
    samples = withSample(samples, sample(n));
    samples = withSample(samples, sample(n)); // As after a reconnect.
  }
  expect(samples.length).toBe(SHOWN);
  expect(samples[0]?.number).toBe(21);
  expect(samples.at(-1)?.number).toBe(SHOWN + 20);
});

test('a server that began again begins a new list', () => {
  expect(withSample([sample(7), sample(8)], sample(1)).map((one) => one.number)).toEqual([1]);
});

test('lines have a value for each second', () => {
  const lines = linesOf([sample(1), sample(2)]);
  expect(lines.traffic).toEqual([[1_700_000_001, 1_700_000_002], [1, 2], [1, 1], [2, 2]]);
  expect(lines.latency.slice(1)).toEqual([[null, null], [5, 5]]);
  expect(lines.device[1]).toEqual([50, 50]);
});
