import type { components } from './schema.gen';

// What the server answers, as schema/openapi.yaml says it.
type Schemas = components['schemas'];
export type Caller = Schemas['Caller'];
export type Scope = Schemas['Scope'];
export type Job = Schemas['Job'];
export type Jobs = Schemas['Jobs'];
export type Artifacts = Schemas['Artifacts'];
export type Artifact = Artifacts['data'][number];
export type ModelStatistics = Schemas['ModelStatistics'];
export type ModelMetadata = Schemas['ModelMetadata'];
export type Usage = Schemas['Usage'];
export type UsageSum = Schemas['UsageSum'];
export type Cache = Schemas['Cache'];
export type Limit = Schemas['Limit'];
export type Limits = Schemas['Limits'];
export type Overview = Schemas['Overview'];
export type OverviewSample = Schemas['OverviewSample'];
export type OverviewSecond = Schemas['OverviewSecond'];
export type RepositoryIndex = Schemas['RepositoryIndex'];

export type Route = Schemas['Route'];
export type RouteRevision = Schemas['RouteRevision'];
export type RouteHistory = Schemas['RouteHistory'];
export type ReleaseSpec = Schemas['ReleaseSpec'];
/** As the server shows it: with every member that its strategy has. */
export type Release = Omit<Schemas['Release'], 'spec'> & { spec: Required<Omit<ReleaseSpec, 'arms' | 'candidate'>> & Pick<ReleaseSpec, 'arms' | 'candidate'> };
export type Releases = Omit<Schemas['Releases'], 'data'> & { data: Release[] };
export type ReleaseEvents = Schemas['ReleaseEvents'];
export type ReleaseEvidence = Schemas['ReleaseEvidence'];
export type ReleaseLook = Schemas['ReleaseLook'];
export type ReleaseMetric = Schemas['ReleaseMetric'];
export type RegisteredModel = Schemas['RegisteredModel'];
export type RegisteredModels = Schemas['RegisteredModels'];
export type RegisteredVersion = Schemas['RegisteredVersion'];
export type RegisteredVersions = Schemas['RegisteredVersions'];
export type RegistryEvent = Schemas['RegistryEvent'];
export type RegistryEvents = Schemas['RegistryEvents'];
export type RegistryTest = Schemas['RegistryTest'];
export type RegistryServed = Schemas['RegistryServed'];
export type Retirements = Schemas['RegistryRetirements'];
export type Retiring = Schemas['RegistryRetiring'];

export type Drift = Schemas['Drift'];
export type DriftList = Schemas['DriftList'];
export type DriftTensor = Schemas['DriftTensor'];
export type Pipeline = Schemas['Pipeline'];
export type Pipelines = Schemas['Pipelines'];
export type PipelineGate = Schemas['PipelineGate'];
export type PipelineRun = Schemas['PipelineRun'];
export type PipelineRuns = Schemas['PipelineRuns'];
export type PipelineRunEvents = Schemas['PipelineRunEvents'];
export type PipelineStage = Schemas['PipelineStage'];
export type PipelineState = Schemas['PipelineState'];

/** A row of a usage report; the groups that were asked for are members besides. */
export type UsageRow = UsageSum & { start: string } & Partial<Record<'tenant' | 'model' | 'kind' | 'project', string>>;
