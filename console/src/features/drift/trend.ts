import type { Drift, DriftTensor } from '../../api/types';
import type { ChartData } from '../../ui/chart';

/** PSI and KS of one tensor as they came. `at`: seconds. */
export interface Sample {
  at: number;
  psi: number | null;
  ks: number | null;
}
export type Trend = ReadonlyMap<string, readonly Sample[]>;

const MOST = 720; // An hour of what is asked for every five seconds.

export function keyOf(tensor: DriftTensor): string {
  return `${tensor.direction} ${tensor.name}`;
}

/** The trend with what `drift` says of each tensor at `at`; the oldest go when there are too many, and tensors that are no more. */
export function withDrift(trend: Trend, drift: Drift, at: number): Trend {
  return new Map(
    drift.tensors.map((tensor) => {
      const key = keyOf(tensor);
      const before = (trend.get(key) ?? []).filter((one) => one.at < at);
      return [key, [...before, { at, psi: tensor.psi, ks: tensor.ks }].slice(-MOST)] as const;
    }),
  );
}

/** Lines over time: PSI, KS, and the threshold all along. */
export function linesOf(samples: readonly Sample[], threshold: number): ChartData {
  return [samples.map((one) => one.at), samples.map((one) => one.psi), samples.map((one) => one.ks), samples.map(() => threshold)];
}

/** The tensor that has moved most: by PSI; null where no tensor has enough calls. */
export function worstOf(drift: Drift): DriftTensor | null {
  return drift.tensors.reduce<DriftTensor | null>((worst, one) => (one.psi !== null && (worst === null || one.psi > (worst.psi ?? -1)) ? one : worst), null);
}
