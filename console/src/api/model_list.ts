import type { ModelStatistics, RepositoryIndex } from './types';

/** A version as the room shows it. */
export interface ModelRow {
  model: string;
  version: string;
  state: RepositoryIndex[number]['state'];
  reason: string;
  memory: number | null;
  inferences: number | null;
  meanMs: number | null;
  lastUsed: string | null;
}

type Stats = ModelStatistics['model_stats'][number];

function meanMs(stats: Stats): number | null {
  const runs = stats.inference_stats.compute_infer;
  return runs === undefined || runs.count === 0 ? null : runs.ns / runs.count / 1e6;
}

/** The index with what the statistics know of each version; by name, the newest version first. */
export function rowsOf(index: RepositoryIndex, stats: readonly Stats[]): ModelRow[] {
  const known = new Map(stats.map((one) => [`${one.name} ${one.version}`, one]));
  const rows = index.map((entry): ModelRow => {
    const version = entry.version ?? '';
    const found = known.get(`${entry.name} ${version}`);
    return {
      model: entry.name,
      version,
      state: entry.state,
      reason: entry.reason ?? '',
      memory: found?.memory_usage?.reduce((sum, one) => sum + one.byte_size, 0) ?? null,
      inferences: found?.inference_count ?? null,
      meanMs: found ? meanMs(found) : null,
      lastUsed: found && found.last_inference > 0 ? new Date(found.last_inference).toISOString() : null,
    };
  });
  return rows.sort((a, b) => a.model.localeCompare(b.model, 'en') || Number(b.version) - Number(a.version));
}

/** The models that paint: those with a denoiser of their own. Their parts are models, too. */
export function paintersOf(index: RepositoryIndex): string[] {
  const found = new Set<string>();
  for (const entry of index) {
    const part = /^(.+)\/unet$/.exec(entry.name);
    if (part?.[1] !== undefined) found.add(part[1]);
  }
  return [...found].sort();
}
