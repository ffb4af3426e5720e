import type { Job } from '../../api/types';

/** Several lists of jobs as one, the newest first. */
export function merge(lists: readonly (readonly Job[])[]): Job[] {
  return lists.flat().sort((a, b) => b.created_at.localeCompare(a.created_at));
}

/** `work` of each, at most `atOnce` at a time; results in the order of `items`. The first failure is thrown. */
export async function takeInTurns<T, R>(items: readonly T[], atOnce: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const at = next++;
      const item = items[at];
      if (item !== undefined) results[at] = await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return results;
}
