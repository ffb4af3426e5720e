/** A bin of two distributions over the same edges: what share of the values it holds, as a part of the highest bin of both. */
export interface Bin {
  name: string; // What it holds: "≤ 1.5", "1.5 – 2", "> 2".
  reference: number; // 0 to 1.
  now: number;
}

function shares(counts: readonly number[]): number[] {
  const sum = counts.reduce((all, one) => all + one, 0);
  return counts.map((one) => (sum === 0 ? 0 : one / sum));
}

/** Bins of counts: the first and the last are open, so there is one edge less than there are bins. */
export function binsOf(histogram: { edges: readonly number[]; reference: readonly number[]; now: readonly number[] }, format: (value: number) => string): Bin[] {
  const reference = shares(histogram.reference);
  const now = shares(histogram.now);
  const highest = Math.max(...reference, ...now, 0) || 1;
  return reference.map((share, at) => {
    const from = histogram.edges[at - 1];
    const to = histogram.edges[at];
    const name = from === undefined ? `≤ ${to === undefined ? '' : format(to)}` : to === undefined ? `> ${format(from)}` : `${format(from)} – ${format(to)}`;
    return { name, reference: share / highest, now: (now[at] ?? 0) / highest };
  });
}
