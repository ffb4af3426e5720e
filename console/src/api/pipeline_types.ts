// What `/v1/pipelines` and `/v1/pipeline-runs` answer, as schema/openapi.yaml says it.
export type RunState = 'queued' | 'running' | 'waiting' | 'succeeded' | 'failed' | 'cancelled';
export type StageKind = 'train' | 'evaluate' | 'register' | 'test' | 'release' | 'retire';
export type StageState = 'pending' | 'waiting' | 'starting' | 'running' | 'watching' | 'retrying' | 'succeeded' | 'failed' | 'cancelled' | 'skipped';

export interface Pipeline {
  name: string;
  kind: 'pipeline' | 'template';
  description: string;
  model: string | null;
  template: string | null;
  revision: number;
  text: string;
  stages: { name: string; kind: StageKind }[];
  triggers: { kind: string; text: string; next_at: string | null }[];
  updated_at: string;
  updated_by: string;
  latest_run: { id: string; state: RunState; created_at: string } | null;
}

export interface Gate {
  gate: string;
  outcome: 'passed' | 'failed' | 'skipped';
  left: number | null;
  right: number | null;
  reason: string;
}

export interface Approval {
  role: 'operator' | 'admin';
  state: 'pending' | 'waiting' | 'approved' | 'rejected' | 'expired';
  by: string | null;
  at: string | null;
  note: string;
  until: string | null;
}

export interface Stage {
  name: string;
  kind: StageKind;
  state: StageState;
  attempt: number;
  max_attempts: number;
  job: string | null;
  since: string | null;
  retry_at: string | null;
  error: { reason: string; message: string } | null;
  metrics: Record<string, number>;
  gates: Gate[];
  approval: Approval | null;
}

export interface PipelineRun {
  id: string;
  pipeline: string;
  revision: number;
  model: string;
  state: RunState;
  reason: string | null;
  message: string;
  trigger: { kind: string; who: string; at: string; key: string; joined: number };
  version: number | null;
  release: string | null;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  stages: Stage[];
}

export interface PipelineEvents {
  data: { at: string; kind: string; stage: string | null; who: string; text: string }[];
}

export interface PipelineList {
  data: Pipeline[];
  has_more: boolean;
}

export interface PipelineRunList {
  data: PipelineRun[];
  has_more: boolean;
}
