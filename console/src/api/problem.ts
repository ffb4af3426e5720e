/** Why the server refused, as it says it: problem details, OpenAI's errors and the v2 protocol's texts alike. */
export class Problem extends Error {
  constructor(
    readonly status: number, // 0: the server did not answer.
    readonly reason: string, // A slug of schema/errors.toml; may be empty.
    message: string,
    readonly retryAfter: number | null = null, // Seconds.
  ) {
    super(message);
  }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** Reads the body of a refusal; `reason` is the header X-Mezzo-Reason. */
export function problemOf(status: number, reason: string | null, retryAfter: string | null, body: string): Problem {
  const seconds = retryAfter !== null && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  let json: unknown = null;
  try {
    json = JSON.parse(body);
  } catch {
    // Shown as it is, below.
  }
  if (typeof json === 'object' && json !== null) {
    const fields = json as Record<string, unknown>;
    const inner = typeof fields.error === 'object' && fields.error !== null ? (fields.error as Record<string, unknown>) : {};
    const message = textOf(fields.detail) ?? textOf(inner.message) ?? textOf(fields.error) ?? textOf(fields.title);
    return new Problem(status, reason ?? textOf(inner.code) ?? '', message ?? `HTTP ${status}`, seconds);
  }
  return new Problem(status, reason ?? '', body.trim().slice(0, 300) || `HTTP ${status}`, seconds);
}

/** Whatever was thrown, as a problem. */
export function asProblem(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  return new Problem(0, '', thrown instanceof Error ? thrown.message : String(thrown));
}
