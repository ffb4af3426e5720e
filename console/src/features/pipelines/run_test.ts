import { expect, test } from 'vitest';
import type { PipelineRun, PipelineStage, Scope } from '../../api/types';
import { actionsOf, gateText, isEnded, toneOf, waitingStage } from './run';

const stage = (state: PipelineStage['state'], role: 'operator' | 'admin' = 'operator'): PipelineStage => ({
  name: 's', kind: 'release', state, attempt: 1, max_attempts: 1, job: null, since: null, deadline: null, output: null, retry_at: null, error: null, metrics: {}, gates: [],
  approval: state === 'waiting' ? { role, state: 'waiting', by: null, at: null, note: '', until: null } : null,
});
const run = (state: PipelineRun['state'], ...stages: PipelineStage[]) => ({ state, stages });
const having = (...scopes: Scope[]) => (scope: Scope) => scopes.includes(scope);

test('an approval is offered to the role that it names', () => {
  const waits = run('waiting', stage('succeeded'), stage('waiting', 'admin'));
  expect(waitingStage(waits)?.approval?.role).toBe('admin');
  expect(actionsOf(waits, having('operate'))).toEqual(['cancel']);
  expect(actionsOf(waits, having('operate', 'admin'))).toEqual(['approve', 'reject', 'cancel']);
  expect(actionsOf(run('waiting', stage('waiting')), having('operate'))).toEqual(['approve', 'reject', 'cancel']);
  expect(actionsOf(waits, having('observe'))).toEqual([]);
});

test('what has failed can go on, what has ended otherwise is over', () => {
  const may = having('operate');
  expect(actionsOf(run('failed', stage('failed')), may)).toEqual(['retry']);
  expect(actionsOf(run('succeeded', stage('succeeded')), may)).toEqual([]);
  expect(actionsOf(run('queued'), may)).toEqual(['cancel']);
  expect(isEnded(run('cancelled'))).toBe(true);
  expect(isEnded(run('waiting'))).toBe(false);
});

test('a stage looks as it stands', () => {
  expect((['pending', 'running', 'watching', 'waiting', 'succeeded', 'failed', 'skipped'] as const).map(toneOf)).toEqual(['quiet', 'busy', 'busy', 'asks', 'good', 'bad', 'quiet']);
});

test('a gate says its numbers, or why it has none', () => {
  const gate = { gate: 'auc >= 0.9', outcome: 'passed' as const, left: 0.95, right: 0.9, reason: '' };
  expect(gateText(gate, String)).toBe('auc >= 0.9: 0.95, 0.9');
  expect(gateText({ ...gate, left: null, outcome: 'failed', reason: 'no metric auc' }, String)).toBe('auc >= 0.9: no metric auc');
  expect(gateText({ ...gate, left: null, right: null }, String)).toBe('auc >= 0.9');
});
