import { expect, test } from 'vitest';
import type { Job } from '../../api/types';
import { merge, takeInTurns } from './gallery';

test('lists become one, newest first', () => {
  const job = (created_at: string) => ({ created_at }) as Job;
  const all = merge([[job('2026-01-03'), job('2026-01-01')], [job('2026-01-02')]]);
  expect(all.map((one) => one.created_at)).toEqual(['2026-01-03', '2026-01-02', '2026-01-01']);
});

test('no more than are allowed run at once, and results keep their order', async () => {
  let running = 0;
  let most = 0;
  const results = await takeInTurns([5, 1, 4, 2, 3], 2, async (ms) => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, ms));
    running--;
    return ms * 10;
  });
  expect(results).toEqual([50, 10, 40, 20, 30]);
  expect(most).toBe(2);
  expect(await takeInTurns([], 3, async () => 1)).toEqual([]);
});

test('a failure is thrown', async () => {
  await expect(takeInTurns([1, 2], 2, async (n) => (n === 2 ? Promise.reject(new Error('no')) : n))).rejects.toThrow('no');
});
