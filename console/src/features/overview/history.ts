import type { OverviewSample } from '../../api/types';
import type { ChartData } from '../../ui/chart';

/** Seconds that the charts show. */
export const SHOWN = 300;

/** `samples` with `next`, each number once and in order, at most SHOWN. A server that began again starts a new list. */
export function withSample(samples: readonly OverviewSample[], next: OverviewSample): OverviewSample[] {
  const last = samples.at(-1);
  if (last !== undefined && next.number === last.number) return [...samples];
  if (last !== undefined && next.number < last.number) return [next];
  return [...samples, next].slice(-SHOWN);
}

export interface Lines {
  traffic: ChartData;
  latency: ChartData;
  device: ChartData;
}

/** What the charts draw of the samples. */
export function linesOf(samples: readonly OverviewSample[]): Lines {
  const time = samples.map((one) => Date.parse(one.at) / 1000);
  return {
    traffic: [time, samples.map((one) => one.requests_per_second), samples.map((one) => one.failed_per_second), samples.map((one) => one.limited_per_second)],
    latency: [time, samples.map((one) => one.p50_ms), samples.map((one) => one.p99_ms)],
    device: [time, samples.map((one) => 100 * one.utilisation), samples.map((one) => one.queued)],
  };
}
