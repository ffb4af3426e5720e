import type { ReleaseSpec } from '../../api/types';

export const strategies = ['canary', 'blue_green', 'shadow', 'ab'] as const;
export type Strategy = (typeof strategies)[number];

/** What somebody wrote into the form; empty means the server's default. */
export interface Draft {
  model: string;
  candidate: string;
  stable: string;
  strategy: Strategy;
  steps: string; // Percents: "5, 25, 50, 100".
  stepSeconds: string;
  minCalls: string;
  arms: string; // A line each: name, version, percent.
  shadowShare: string; // Percent.
  sticky: string;
  settleMinutes: string;
  maxErrors: string; // Percent.
  p99: string; // Milliseconds.
  likeness: string; // An SSIM, of pictures.
  automatic: boolean;
}

export type DraftField = keyof Draft;

export const emptyDraft: Draft = {
  model: '', candidate: '', stable: '', strategy: 'canary', steps: '5, 25, 50, 100', stepSeconds: '60', minCalls: '100', arms: '', shadowShare: '10',
  sticky: '', settleMinutes: '', maxErrors: '', p99: '', likeness: '', automatic: true,
};

/** A number as people write it. What is none goes to the server as it is, which says what it must be. */
function numberOf(text: string, factor = 1): number {
  const value = Number(text.trim().replace(/%$/, ''));
  if (text.trim() === '' || !Number.isFinite(value)) return text.trim() as unknown as number;
  return Math.round(value * factor * 1e9) / 1e9;
}

/** Percent in 1/10,000, a whole number. */
function weightOf(percent: string): number {
  const weight = numberOf(percent, 100);
  return typeof weight === 'number' ? Math.round(weight) : weight;
}

const given = (text: string) => text.trim() !== '';

/** The declaration as the server takes it: only what was given, and what the strategy has. */
export function specOf(draft: Draft): ReleaseSpec {
  const spec: ReleaseSpec = { model: draft.model.trim(), strategy: draft.strategy, automatic: draft.automatic };
  if (given(draft.stable)) spec.stable = draft.stable.trim();
  if (given(draft.sticky)) spec.sticky = draft.sticky.trim();
  if (given(draft.settleMinutes)) spec.settle_s = numberOf(draft.settleMinutes, 60);
  if (draft.strategy === 'ab') {
    spec.arms = draft.arms
      .split('\n')
      .map((line) => line.trim().split(/[\s,]+/))
      .filter((words) => words[0] !== '')
      .map(([name = '', version = '', percent = '']) => ({ name, version, weight: weightOf(percent) }));
  } else {
    spec.candidate = draft.candidate.trim();
  }
  if (draft.strategy === 'canary') {
    spec.steps = draft.steps
      .split(/[\s,]+/)
      .filter(given)
      .map((percent) => ({
        weight: weightOf(percent),
        ...(given(draft.stepSeconds) && { min_duration_s: numberOf(draft.stepSeconds) }),
        ...(given(draft.minCalls) && { min_calls: numberOf(draft.minCalls) }),
      }));
  }
  if (draft.strategy === 'shadow' && given(draft.shadowShare)) spec.shadow_share = weightOf(draft.shadowShare);
  const analysis: Record<string, unknown> = {};
  if (given(draft.maxErrors)) analysis.max_error_rate = numberOf(draft.maxErrors, 0.01);
  if (given(draft.p99)) analysis.p99_objective_s = numberOf(draft.p99, 0.001);
  if (draft.strategy === 'shadow' && given(draft.likeness)) analysis.min_likeness = numberOf(draft.likeness);
  if (Object.keys(analysis).length > 0) spec.analysis = analysis;
  return spec;
}

// In this order: what a message names first may stand in other words of it, too.
const NAMED: readonly (readonly [RegExp, DraftField])[] = [
  [/max_error_rate/, 'maxErrors'],
  [/p99_objective/, 'p99'],
  [/min_likeness/, 'likeness'],
  [/min_duration_s/, 'stepSeconds'],
  [/min_calls/, 'minCalls'],
  [/settle_s/, 'settleMinutes'],
  [/shadow_share/, 'shadowShare'],
  [/sticky/, 'sticky'],
  [/strategy/, 'strategy'],
  [/\barms?\b|an experiment/, 'arms'],
  [/\bsteps?\b|'weight'/, 'steps'],
  [/candidate/, 'candidate'],
  [/stable/, 'stable'],
  [/model/, 'model'],
];

/** The field that a refusal is about; null: none of them, so it stands above the form. */
export function fieldOf(reason: string, message: string): DraftField | null {
  if (reason === 'release_exists') return 'model';
  if (reason === 'release_stable_unknown') return 'stable';
  if (reason !== 'release_spec' && reason !== 'release_policy') return null;
  return NAMED.find(([pattern]) => pattern.test(message))?.[1] ?? null;
}
