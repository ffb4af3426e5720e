import { expect, test } from 'vitest';
import { asProblem, Problem, problemOf } from './problem';

test('problem details say what and why', () => {
  const problem = problemOf(429, 'rate_limited', '2', '{"detail":"too fast","title":"Too Many Requests","error":{"code":"x","message":"m"}}');
  expect([problem.status, problem.reason, problem.message, problem.retryAfter]).toEqual([429, 'rate_limited', 'too fast', 2]);
});

test('other forms of errors are understood', () => {
  expect(problemOf(404, null, null, '{"error":"Not Found"}').message).toBe('Not Found');
  const openai = problemOf(400, null, null, '{"error":{"message":"bad size","code":"image_request"}}');
  expect([openai.message, openai.reason]).toEqual(['bad size', 'image_request']);
  expect(problemOf(502, null, 'soon', '<html>bad gateway</html>').retryAfter).toBeNull();
  expect(problemOf(502, null, null, '').message).toBe('HTTP 502');
  expect(problemOf(500, null, null, '[]').message).toBe('HTTP 500');
});

test('what is thrown is a problem', () => {
  const problem = new Problem(403, 'scope_missing', 'no');
  expect(asProblem(problem)).toBe(problem);
  expect(asProblem(new TypeError('fetch failed'))).toMatchObject({ status: 0, message: 'fetch failed' });
});
