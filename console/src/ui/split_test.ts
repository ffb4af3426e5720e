import { expect, test } from 'vitest';
import { colorsOf, inOrder, partsOf, percentOf, spoken } from './split';

const arm = (name: string, version: string, weight: number) => ({ name, version, weight });

test('a route without a split gives all calls to the stable version', () => {
  expect(partsOf({ stable: '3' })).toEqual([arm('stable', '3', 10_000)]);
  expect(partsOf({ stable: '3', split: { arms: [arm('a', '3', 4000), arm('b', '4', 6000)] } })).toEqual([arm('a', '3', 4000), arm('b', '4', 6000)]);
});

test('the usual arms keep their colors, others differ', () => {
  expect(colorsOf([arm('stable', '1', 1), arm('baseline', '1', 1), arm('canary', '2', 1)])).toEqual(['accent', 'quiet', 'warm']);
  const many = colorsOf([arm('a', '1', 1), arm('stable', '1', 1), arm('b', '2', 1), arm('c', '2', 1)]);
  expect(new Set(many).size).toBe(4);
});

test('parts come in one order, whoever wrote them', () => {
  const names = (...parts: string[]) => inOrder(parts.map((name) => arm(name, '1', 1))).map((part) => part.name);
  expect(names('canary', 'blue', 'baseline', 'amber', 'stable')).toEqual(['stable', 'baseline', 'canary', 'blue', 'amber']);
});

test('weights are percent with the digits that they have', () => {
  expect([0, 1, 500, 2500, 3333, 10_000].map((weight) => percentOf(weight, 'en'))).toEqual(['0%', '0.01%', '5%', '25%', '33.33%', '100%']);
});

test('a split can be read out', () => {
  expect(spoken([arm('stable', '1', 9500), arm('canary', '2', 500)], 'en')).toBe('stable 1: 95%, canary 2: 5%');
});
