import { expect, test } from 'vitest';
import { binsOf } from './histogram';

test('bins are shares of their own distribution, the highest is whole', () => {
  const bins = binsOf({ edges: [0, 1], reference: [10, 20, 10], now: [0, 1, 3] }, String);
  expect(bins.map((bin) => bin.name)).toEqual(['≤ 0', '0 – 1', '> 1']);
  expect(bins.map((bin) => bin.reference * 0.75)).toEqual([0.25, 0.5, 0.25]);
  expect(bins.map((bin) => bin.now * 0.75)).toEqual([0, 0.25, 0.75]);
});

test('nothing counted is nothing drawn', () => {
  expect(binsOf({ edges: [0], reference: [0, 0], now: [0, 0] }, String).map((bin) => [bin.reference, bin.now])).toEqual([[0, 0], [0, 0]]);
  expect(binsOf({ edges: [], reference: [5], now: [5] }, String)).toEqual([{ name: '≤ ', reference: 1, now: 1 }]);
});
