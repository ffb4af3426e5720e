import { expect, test } from 'vitest';
import type { RegistryEvent } from '../../api/types';
import { lanesOf, patternOf, placeIn, reachOf } from './served';

let number = 0;
const event = (second: number, kind: string, field: string, version: number | null): RegistryEvent => ({
  object: 'registry.event', number: number++, model: 'm', version, kind, field, before: null, after: null, at: new Date(1000 * second).toISOString(), by: 'a',
});
const newestFirst = (...events: RegistryEvent[]) => events.reverse();

test('an alias stands for one version at a time', () => {
  const lanes = lanesOf(newestFirst(event(1, 'alias_set', 'prod', 1), event(5, 'alias_set', 'prod', 2), event(9, 'alias_deleted', 'prod', 2), event(12, 'alias_set', 'prod', 3)), 20_000);
  expect(lanes).toEqual([{ kind: 'alias', name: 'prod', spans: [{ version: 1, from: 1000, to: 5000 }, { version: 2, from: 5000, to: 9000 }, { version: 3, from: 12_000, to: 20_000 }] }]);
});

test('a version is served from its first host to its last', () => {
  const lanes = lanesOf(newestFirst(event(1, 'served', 'a', 1), event(2, 'served', 'b', 1), event(3, 'served', 'a', 2), event(4, 'withdrawn', 'a', 1), event(6, 'withdrawn', 'b', 1), event(8, 'served', 'a', 1)), 10_000);
  expect(lanes.map((lane) => lane.name)).toEqual(['2', '1']);
  expect(lanes[1]?.spans).toEqual([{ version: 1, from: 1000, to: 6000 }, { version: 1, from: 8000, to: 10_000 }]);
});

test('a history that begins in the middle breaks nothing', () => {
  expect(lanesOf(newestFirst(event(1, 'withdrawn', 'a', 1), event(2, 'alias_deleted', 'prod', 1), event(3, 'version_state', 'state', 1)), 9000)).toEqual([]);
  expect(reachOf([])).toBeNull();
});

test('spans lie where their times are, and are seen however short', () => {
  const lanes = lanesOf(newestFirst(event(0, 'alias_set', 'prod', 1), event(100, 'alias_set', 'prod', 2)), 100_000);
  const reach = reachOf(lanes);
  expect(reach).toEqual({ from: 0, to: 100_000 });
  if (reach === null) return;
  const spans = lanes[0]?.spans ?? [];
  expect(spans.map((span) => placeIn(span, reach))).toEqual([{ left: 0, width: 100 }, { left: 99.4, width: 0.6 }]);
});

test('a clock that is behind gives no span that ends before it begins', () => {
  const lanes = lanesOf([event(50, 'alias_set', 'prod', 1)], 10_000);
  expect(lanes[0]?.spans).toEqual([{ version: 1, from: 50_000, to: 50_000 }]);
  expect(reachOf(lanes)).toEqual({ from: 50_000, to: 51_000 });
});

test('a pattern finds what was typed', () => {
  expect(patternOf(' a_b%\\ ')).toBe('%a\\_b\\%\\\\%');
});
