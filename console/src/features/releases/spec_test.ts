import { expect, test } from 'vitest';
import { emptyDraft, fieldOf, specOf } from './spec';

test('a canary is declared in the units of the server', () => {
  expect(specOf({ ...emptyDraft, model: ' m ', candidate: '4', steps: '0.5, 25% 100', stepSeconds: '30', minCalls: '200', maxErrors: '0.5', p99: '250', settleMinutes: '5' })).toEqual({
    model: 'm', strategy: 'canary', automatic: true, candidate: '4', settle_s: 300,
    steps: [50, 2500, 10_000].map((weight) => ({ weight, min_duration_s: 30, min_calls: 200 })),
    analysis: { max_error_rate: 0.005, p99_objective_s: 0.25 },
  });
});

test('what is left out is left to the server', () => {
  expect(specOf({ ...emptyDraft, model: 'm', candidate: '2', strategy: 'blue_green', automatic: false })).toEqual({ model: 'm', strategy: 'blue_green', automatic: false, candidate: '2' });
  expect(specOf({ ...emptyDraft, model: 'm', candidate: '2', stepSeconds: '', minCalls: '', steps: '100' }).steps).toEqual([{ weight: 10_000 }]);
});

test('an experiment has arms, one in each line, and no candidate', () => {
  const spec = specOf({ ...emptyDraft, model: 'm', candidate: '9', strategy: 'ab', arms: 'old 1 33.33\n\n new, 2, 66.67\n', sticky: 'header:x-user' });
  expect(spec.arms).toEqual([{ name: 'old', version: '1', weight: 3333 }, { name: 'new', version: '2', weight: 6667 }]);
  expect(spec.candidate).toBeUndefined();
  expect(spec.sticky).toBe('header:x-user');
});

test('what is no number reaches the server, which says what it must be', () => {
  expect(specOf({ ...emptyDraft, model: 'm', candidate: '2', steps: 'many' }).steps?.[0]?.weight).toBe('many');
  expect(specOf({ ...emptyDraft, model: 'm', strategy: 'shadow', shadowShare: '10' }).shadow_share).toBe(1000);
  expect(specOf({ ...emptyDraft, model: 'm', strategy: 'shadow', likeness: '0.8' }).analysis).toEqual({ min_likeness: 0.8 });
  expect(specOf({ ...emptyDraft, model: 'm', strategy: 'canary', likeness: '0.8' }).analysis).toBeUndefined();
});

test('a refusal stands at the field that it is about', () => {
  const at = (message: string, reason = 'release_spec') => fieldOf(reason, message);
  expect(at("candidate must be a version's number, not 'two'")).toBe('candidate');
  expect(at('candidate and stable are the same version')).toBe('candidate');
  expect(at("stable must be a version's number, not 'x'")).toBe('stable');
  expect(at('the weights of steps must grow from step to step, up to 10000')).toBe('steps');
  expect(at('min_calls of a step must be 1 to 100000000')).toBe('minCalls');
  expect(at('min_duration_s of a step must be at least 0 and at most 90 days')).toBe('stepSeconds');
  expect(at('the weights of the arms sum to 9000, not to 10000')).toBe('arms');
  expect(at('an experiment has 2 to 8 arms')).toBe('arms');
  expect(at("sticky must be 'none', 'tenant' or 'header:' and a header's name")).toBe('sticky');
  expect(at("model must be a model's name")).toBe('model');
  expect(at('max_error_rate must lie between 0 and 1', 'release_policy')).toBe('maxErrors');
  expect(at('min_likeness must be 0.05 to 0.95, in steps of 0.05', 'release_policy')).toBe('likeness');
  expect(at('whatever', 'release_exists')).toBe('model');
  expect(at('whatever', 'release_stable_unknown')).toBe('stable');
  expect(at('the database is away', 'database_unavailable')).toBeNull();
});
