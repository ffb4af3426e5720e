import type { UsageRow, UsageSum } from '../../api/types';
import type { ChartData } from '../../ui/chart';

export const measures = ['requests', 'device_ms', 'failed', 'images', 'video_seconds', 'cache_hits', 'cost_micros'] as const;
export type Measure = (typeof measures)[number];
export type Group = 'tenant' | 'model' | 'kind';

const HOUR = 3600;
const DAY = 24 * HOUR;

/** Rows of the same group over all times, the largest first by `measure`. */
export function sumsOf(rows: readonly UsageRow[], group: Group, measure: Measure): { name: string; sum: UsageSum }[] {
  const sums = new Map<string, UsageSum>();
  for (const row of rows) {
    const name = row[group] ?? '';
    const sum = sums.get(name);
    if (sum === undefined) {
      sums.set(name, { ...row });
      continue;
    }
    for (const key of Object.keys(row) as (keyof UsageSum)[]) {
      if (typeof row[key] === 'number') sum[key] += row[key];
    }
  }
  return [...sums]
    .map(([name, sum]) => ({ name, sum }))
    .sort((a, b) => b.sum[measure] - a.sum[measure] || a.name.localeCompare(b.name, 'en'));
}

/**
 * Bars that stand on each other: for each of the first `most` names and then all others, the sum of itself and those after it, so that the first
 * is drawn behind the rest. Times without use are 0.
 */
export function barsOf(
  rows: readonly UsageRow[],
  group: Group,
  measure: Measure,
  span: { from: string; to: string; by: 'hour' | 'day' },
  most: number,
): { names: string[]; others: boolean; data: ChartData } {
  const ranked = sumsOf(rows, group, measure).map((one) => one.name);
  const names = ranked.slice(0, most);
  const others = ranked.length > most;
  const step = span.by === 'hour' ? HOUR : DAY;
  const start = Math.floor(Date.parse(span.from) / 1000 / step) * step;
  const end = Date.parse(span.to) / 1000;
  const times: number[] = [];
  for (let at = start; at < end && times.length < 1000; at += step) times.push(at);
  const lists = Array.from({ length: names.length + (others ? 1 : 0) }, () => times.map(() => 0));
  for (const row of rows) {
    const at = Math.floor((Date.parse(row.start) / 1000 - start) / step);
    const place = names.indexOf(row[group] ?? '');
    const list = lists[place < 0 ? names.length : place];
    if (list !== undefined && at >= 0 && at < list.length) list[at] = (list[at] ?? 0) + row[measure];
  }
  for (let i = lists.length - 2; i >= 0; i--) {
    const above = lists[i + 1];
    lists[i] = (lists[i] ?? []).map((value, at) => value + (above?.[at] ?? 0));
  }
  return { names, others, data: [times, ...lists] };
}
