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

/** A row of a usage report; the groups that were asked for are members besides. */
export type UsageRow = UsageSum & { start: string } & Partial<Record<'tenant' | 'model' | 'kind' | 'project', string>>;
