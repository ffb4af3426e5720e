import { expect, test } from 'vitest';
import type { Drift } from '../../api/types';
import { keyOf, linesOf, withDrift, worstOf, type Trend } from './trend';

function drift(...psi: (number | null)[]): Drift {
  const tensors = psi.map((value, at) => ({
    name: `t${at}`, direction: 'input' as const, calls: 10, psi: value, ks: value === null ? null : value / 2, not_finite: 0,
    reference: { source: 'first calls', calls: 10, made_at: '2026-11-23T00:00:00Z' },
  }));
  return { object: 'drift', model: 'm', version: 1, threshold: 0.25, drifted_since: null, told: false, tensors };
}

test('a trend grows by what comes, in order, and holds the newest hour', () => {
  let trend: Trend = new Map();
  for (let at = 0; at < 800; at++) trend = withDrift(trend, drift(at / 1000, null), at);
  const first = trend.get('input t0') ?? [];
  expect(first.length).toBe(720);
  expect(first[0]?.at).toBe(80);
  expect(first.at(-1)).toEqual({ at: 799, psi: 0.799, ks: 0.3995 });
  expect(trend.get('input t1')?.every((one) => one.psi === null)).toBe(true);
  // The same moment again replaces; an older one cuts what followed.
  expect(withDrift(trend, drift(9), 799).get('input t0')?.at(-1)?.psi).toBe(9);
  expect(withDrift(trend, drift(9), 799).has('input t1')).toBe(false);
});

test('lines hold gaps where there were too few calls', () => {
  expect(linesOf([{ at: 1, psi: null, ks: null }, { at: 2, psi: 0.5, ks: 0.1 }], 0.25)).toEqual([[1, 2], [null, 0.5], [null, 0.1], [0.25, 0.25]]);
});

test('the worst tensor is that of the greatest PSI', () => {
  expect(worstOf(drift(0.1, null, 0.7, 0.2))?.name).toBe('t2');
  expect(worstOf(drift(null))).toBeNull();
  expect(worstOf(drift(0))?.name).toBe('t0');
  expect(drift(0, 1).tensors.map(keyOf)).toEqual(['input t0', 'input t1']);
});
