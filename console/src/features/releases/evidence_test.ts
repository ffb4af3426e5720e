import { expect, test } from 'vitest';
import type { Release, ReleaseLook, ReleaseMetric } from '../../api/types';
import { actionsOf, candidateOf, coursesOf, isGuardrail, measureOf, nameOf, shareOf, stepStates, storyOf, withLook } from './evidence';

const metric = (name: string, more: Partial<ReleaseMetric> = {}): ReleaseMetric => ({
  metric: name, canary: 0.02, baseline: 0.01, canary_interval: [0.01, 0.05], baseline_interval: [0.005, 0.02], canary_samples: 100, baseline_samples: 900,
  p_value: 0.5, p_now: 0.6, threshold: 0.01, crossed: false, sentence: 's', ...more,
});
const look = (second: number, ...evidence: ReleaseMetric[]): ReleaseLook => ({
  at: new Date(1_700_000_000_000 + 1000 * second).toISOString(), step: 0,
  verdict: { action: 'hold', insufficient: false, reason: 'r', step_calls: 3, evidence },
});
const release = (more: object) => ({ state: 'running', step: 1, split: null, spec: { candidate: '2', steps: [{ weight: 500 }, { weight: 5000 }, { weight: 10_000 }] }, ...more }) as unknown as Release;

test('a course has a value of each look, and what it was held against', () => {
  const [course] = coursesOf([look(1, metric('error_rate', { canary_samples: 0 })), look(2, metric('error_rate', { p_value: 0, p_now: 0.3 }))]);
  expect(course?.values).toEqual([[1_700_000_001, 1_700_000_002], [null, 0.02], [0.01, 0.01], [null, 0.05], [null, 0.01]]);
  expect(course?.p).toEqual([[1_700_000_001, 1_700_000_002], [0.6, 0.3], [0.5, 1e-9], [0.01, 0.01]]);
});

test('the axis of p begins at a power of ten below all that is drawn, and no p of 0 breaks it', () => {
  const floor = (p: number, threshold: number) => coursesOf([look(1, metric('error_rate', { p_value: p, p_now: 1, threshold }))])[0]?.floor;
  expect(floor(0.5, 0.01)).toBe(0.001);
  expect(floor(0.5, 0.005)).toBe(0.001);
  expect(floor(3e-5, 0.005)).toBeCloseTo(1e-5, 12);
  expect(floor(0, 0.005)).toBeCloseTo(1e-9, 15);
});

test('a wide interval does not press the lines into the ground, a narrow one is seen whole', () => {
  const max = (high: number | null) => coursesOf([look(1, metric('latency_p99', { canary: 2, baseline: 1, canary_interval: [0, high] }))])[0]?.max;
  expect(max(1000)).toBeCloseTo(6.6);
  expect(max(3)).toBeCloseTo(3.3);
  expect(max(null)).toBeCloseTo(2.2);
});

test('nothing but zeros still has an axis', () => {
  expect(coursesOf([look(1, metric('error_rate', { canary: 0, baseline: 0, canary_interval: [0, 0] }))])[0]?.max).toBe(1);
  expect(coursesOf([])).toEqual([]);
});

test('a test that came later has fewer values; one that is gone is not shown', () => {
  const courses = coursesOf([look(1, metric('error_rate'), metric('gone')), look(2, metric('error_rate'), metric('custom:score'))]);
  expect(courses.map((one) => [one.metric, one.values[0].length])).toEqual([['error_rate', 2], ['custom:score', 1]]);
});

test('looks come once, in order, and the oldest go', () => {
  const first = [look(1, metric('a'))];
  expect(withLook(first, look(1, metric('a')))).toHaveLength(1);
  expect(withLook(first, null)).toHaveLength(1);
  let looks = first;
  for (let second = 2; second <= 1010; second++) looks = withLook(looks, look(second));
  expect(looks).toHaveLength(1000);
  expect(looks.at(-1)?.at).toBe(look(1010).at);
});

test('a story has events and the verdicts that changed, by their times', () => {
  const seen = (second: number, action: ReleaseLook['verdict']['action'], step = 0) => ({ ...look(second), step, verdict: { ...look(second).verdict, action, reason: `${action} ${second}` } });
  const event = (second: number, kind: string) => ({ at: look(second).at, kind, who: 'a', text: kind });
  const story = storyOf([event(1, 'running'), event(5, 'step'), event(9, 'settling')], [seen(2, 'hold'), seen(3, 'hold'), seen(4, 'promote'), seen(6, 'promote', 1), seen(7, 'promote', 1)]);
  expect(story.map((one) => one.text)).toEqual(['running', 'hold 2', 'promote 4', 'step', 'promote 6', 'settling']);
  expect(story.map((one) => one.verdict)).toEqual([null, 'hold', 'promote', null, 'promote', null]);
});

test('names, units and kinds of tests', () => {
  expect(nameOf('blue/latency_p50')).toEqual({ arm: 'blue', test: 'latency_p50' });
  expect(nameOf('cost')).toEqual({ arm: '', test: 'cost' });
  expect(['error_rate', 'blue/max_error_rate', 'min_likeness', 'latency_p99', 'cost', 'custom:score'].map(measureOf)).toEqual(['share', 'share', 'share', 'seconds', 'seconds', 'number']);
  expect(isGuardrail('b/p99_objective')).toBe(true);
  expect(isGuardrail('error_rate')).toBe(false);
});

test('the share is that of the candidate alone', () => {
  const split = [{ name: 'stable', version: '1', weight: 9000 }, { name: 'baseline', version: '1', weight: 500 }, { name: 'canary', version: '2', weight: 500 }];
  expect(shareOf(release({ split }))).toBe(500);
  expect(shareOf(release({}))).toBeNull();
  expect(candidateOf(release({ spec: { arms: [{ name: 'a', version: '1', weight: 1 }, { name: 'b', version: '7', weight: 1 }] } }))).toBe('1, 7');
});

test('steps stand as the release does', () => {
  expect(stepStates(release({}))).toEqual(['done', 'now', 'todo']);
  expect(stepStates(release({ state: 'settling' }))).toEqual(['done', 'done', 'done']);
  expect(stepStates(release({ state: 'rolled_back' }))).toEqual(['done', 'todo', 'todo']);
  expect(stepStates(release({ state: 'preparing', step: 0 }))).toEqual(['todo', 'todo', 'todo']);
});

test('what may be asked is what the server takes', () => {
  expect(actionsOf({ state: 'running' })).toContain('roll_back');
  expect(actionsOf({ state: 'settling' })).toEqual(['roll_back']);
  expect(actionsOf({ state: 'preparing' })).toEqual(['cancel']);
  for (const state of ['succeeded', 'rolled_back', 'failed', 'cancelled'] as const) expect(actionsOf({ state })).toEqual([]);
});
