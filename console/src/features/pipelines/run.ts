import type { PipelineGate, PipelineRun, PipelineStage, Scope } from '../../api/types';

/** Whether nothing more happens to it, unless somebody retries it. */
export function isEnded(run: Pick<PipelineRun, 'state'>): boolean {
  return run.state === 'succeeded' || run.state === 'failed' || run.state === 'cancelled';
}

/** The stage that somebody must decide on. */
export function waitingStage(run: Pick<PipelineRun, 'stages'>): PipelineStage | null {
  return run.stages.find((stage) => stage.state === 'waiting') ?? null;
}

export type RunAction = 'approve' | 'reject' | 'cancel' | 'retry';

/** What a caller may ask of it just now: an approval needs the role that it names, the rest an operator. */
export function actionsOf(run: Pick<PipelineRun, 'state' | 'stages'>, can: (scope: Scope) => boolean): RunAction[] {
  const found: RunAction[] = [];
  const waiting = waitingStage(run);
  if (waiting !== null && can(waiting.approval?.role === 'admin' ? 'admin' : 'operate')) found.push('approve', 'reject');
  if (!can('operate')) return found;
  if (run.state === 'failed') found.push('retry');
  if (!isEnded(run)) found.push('cancel');
  return found;
}

/** How a stage is drawn. */
export function toneOf(state: PipelineStage['state']): 'good' | 'bad' | 'busy' | 'asks' | 'quiet' {
  switch (state) {
    case 'succeeded':
      return 'good';
    case 'failed':
      return 'bad';
    case 'waiting':
      return 'asks';
    case 'starting':
    case 'running':
    case 'watching':
    case 'retrying':
      return 'busy';
    default:
      return 'quiet';
  }
}

/** A gate with the numbers that it was decided by. */
export function gateText(gate: PipelineGate, format: (value: number) => string): string {
  if (gate.left === null || gate.right === null) return gate.reason === '' ? gate.gate : `${gate.gate}: ${gate.reason}`;
  return `${gate.gate}: ${format(gate.left)}, ${format(gate.right)}`;
}
