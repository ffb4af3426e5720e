import type { Release, ReleaseLook, ReleaseMetric } from '../../api/types';
import type { ChartData } from '../../ui/chart';

/** What one test has seen over time, ready to be drawn. */
export interface Course {
  metric: string;
  last: ReleaseMetric;
  values: ChartData; // Canary, baseline, the canary's interval from below to above.
  max: number; // Up to which values are drawn.
  p: ChartData; // p as it stood, the p that never grows, the threshold.
  floor: number; // Where the axis of p begins: a power of ten.
}

export type Measure = 'share' | 'seconds' | 'number';

// A p of 0 has no logarithm, and what lies below tells nobody more.
const SMALLEST = 1e-9;
const MOST = 1000; // The server gives no more at a time.

/** The arm of an experiment, and the test's name without it. */
export function nameOf(metric: string): { arm: string; test: string } {
  const at = metric.indexOf('/');
  return at < 0 ? { arm: '', test: metric } : { arm: metric.slice(0, at), test: metric.slice(at + 1) };
}

/** In what the values of a test are. */
export function measureOf(metric: string): Measure {
  const { test } = nameOf(metric);
  if (test === 'error_rate' || test === 'sample_ratio' || isGuardrail(test)) return 'share';
  return test.startsWith('latency_') || test === 'cost' ? 'seconds' : 'number';
}

/** Whether it is held against a limit instead of another arm. */
export function isGuardrail(metric: string): boolean {
  return ['max_error_rate', 'p99_objective', 'min_likeness'].includes(nameOf(metric).test);
}

/** The looks with one more at the end, if it is new; no more than are drawn. */
export function withLook(looks: readonly ReleaseLook[], look: ReleaseLook | null | undefined): ReleaseLook[] {
  const last = looks.at(-1);
  if (!look || (last !== undefined && look.at <= last.at)) return [...looks];
  return [...looks, look].slice(-MOST);
}

function floorOf(smallest: number): number {
  return 10 ** Math.floor(Math.log10(Math.min(1e-2, Math.max(SMALLEST, smallest))));
}

/** One course for each test, in the order of the newest look. */
export function coursesOf(looks: readonly ReleaseLook[]): Course[] {
  const newest = looks.at(-1);
  if (newest === undefined) return [];
  return newest.verdict.evidence.map((last): Course => {
    const seen = looks.flatMap((look) => {
      const found = look.verdict.evidence.find((one) => one.metric === last.metric);
      return found === undefined ? [] : [{ at: Date.parse(look.at) / 1000, found }];
    });
    const time = seen.map((one) => one.at);
    const line = (value: (metric: ReleaseMetric) => number | null) => seen.map((one) => value(one.found));
    const canary = line((one) => (one.canary_samples === 0 ? null : one.canary));
    const baseline = line((one) => (one.baseline_samples === 0 && !isGuardrail(one.metric) ? null : one.baseline));
    const highest = Math.max(0, ...canary.map(Number), ...baseline.map(Number));
    const bound = (value: number | null | undefined) => (value === null || value === undefined ? null : value);
    const low = line((one) => (one.canary_samples === 0 ? null : Math.max(0, bound(one.canary_interval[0]) ?? 0)));
    const high = line((one) => (one.canary_samples === 0 ? null : bound(one.canary_interval[1])));
    // Few samples have intervals that would press the lines into the ground.
    const widest = Math.max(highest, ...high.map(Number));
    const p = line((one) => Math.max(SMALLEST, one.p_value));
    const now = line((one) => Math.max(SMALLEST, one.p_now));
    const threshold = line((one) => one.threshold);
    return {
      metric: last.metric,
      last,
      values: [time, canary, baseline, high, low],
      max: 1.1 * (highest > 0 ? Math.min(widest, 3 * highest) : widest) || 1,
      p: [time, now, p, threshold],
      floor: floorOf(Math.min(last.threshold / 2, ...p.map(Number), ...now.map(Number))),
    };
  });
}

/** A line of what happened: an event, or a verdict that was another than the one before. */
export interface Moment {
  at: string;
  kind: string;
  who: string;
  text: string;
  verdict: ReleaseLook['verdict']['action'] | null;
}

/** Events and changes of the verdict in the order of their times. */
export function storyOf(events: readonly { at: string; kind: string; who: string; text: string }[], looks: readonly ReleaseLook[]): Moment[] {
  const told = looks.flatMap((look, at): Moment[] => {
    const before = looks[at - 1];
    const { action, reason } = look.verdict;
    return before !== undefined && before.verdict.action === action && before.step === look.step ? [] : [{ at: look.at, kind: 'verdict', who: '', text: reason, verdict: action }];
  });
  return [...events.map((event): Moment => ({ ...event, verdict: null })), ...told].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
}

/** Whether nothing more happens to it. */
export function isEnded(release: Pick<Release, 'state'>): boolean {
  return ['succeeded', 'rolled_back', 'failed', 'cancelled'].includes(release.state);
}

/** The version that is brought out; of an experiment, the arms' ones. */
export function candidateOf(release: Release): string {
  return release.spec.candidate ?? (release.spec.arms ?? []).map((arm) => arm.version).join(', ');
}

/** The candidate's part of the calls just now, in 1/10,000; null when the route is untouched. */
export function shareOf(release: Release): number | null {
  if (release.split === null) return null;
  return release.split.filter((arm) => arm.version === release.spec.candidate).reduce((sum, arm) => sum + arm.weight, 0);
}

export type StepState = 'done' | 'now' | 'todo';

/** Where each step stands. All are done once every call goes to the candidate; none is under way when it has ended. */
export function stepStates(release: Release): StepState[] {
  const whole = ['promoting', 'settling', 'succeeded'].includes(release.state);
  const under = ['running', 'paused'].includes(release.state);
  return release.spec.steps.map((_, at) => {
    if (whole) return 'done';
    if (at < release.step) return 'done';
    return at === release.step && under ? 'now' : 'todo';
  });
}

export type Action = 'pause' | 'resume' | 'promote' | 'roll_back' | 'cancel';

/** What may be asked of it just now. */
export function actionsOf(release: Pick<Release, 'state'>): Action[] {
  switch (release.state) {
    case 'preparing':
      return ['cancel'];
    case 'running':
      return ['pause', 'promote', 'roll_back'];
    case 'paused':
      return ['resume', 'promote', 'roll_back'];
    case 'promoting':
    case 'settling':
      return ['roll_back'];
    default:
      return [];
  }
}
