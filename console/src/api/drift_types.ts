// What `/v1/drift` answers, as schema/openapi.yaml says it.
export interface DriftTensor {
  name: string;
  direction: 'input' | 'output';
  calls: number;
  psi: number | null;
  ks: number | null;
  not_finite: number;
  reference: { source: string; calls: number; made_at: string };
  histogram?: { edges: number[]; reference: number[]; now: number[] };
}

export interface Drift {
  model: string;
  version: number;
  threshold: number;
  drifted_since: string | null;
  told: boolean;
  tensors: DriftTensor[];
}

export interface DriftList {
  data: Drift[];
}
