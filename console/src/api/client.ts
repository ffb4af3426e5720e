import { asProblem, Problem, problemOf } from './problem';
import { EventParser, type ServerEvent } from './sse';

const TIMEOUT_MS = 30_000;

/** What a stream of events ended with. */
export type StreamEnd = 'ended' | 'nothing';

/**
 * Asks the server that the console came from. The key goes in a header, never into an address. Every call has a time limit;
 * refusals are thrown as `Problem`.
 */
export class Client {
  /** `key` is an API key or a token; empty: the server lets callers of this host in without one. */
  constructor(
    readonly key: string,
    private readonly onRefused: (problem: Problem) => void = () => undefined,
  ) {}

  get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.json<T>('GET', path, undefined, signal);
  }

  post<T>(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
    return this.json<T>('POST', path, body, undefined, headers);
  }

  put<T>(path: string, body: unknown): Promise<T> {
    return this.json<T>('PUT', path, body);
  }

  patch<T>(path: string, body: unknown): Promise<T> {
    return this.json<T>('PATCH', path, body);
  }

  remove<T>(path: string): Promise<T> {
    return this.json<T>('DELETE', path);
  }

  async text(path: string): Promise<string> {
    return (await this.send('GET', path)).text();
  }

  /** Events until the stream ends or `signal` aborts. `after` goes on behind that event. */
  async events(path: string, onEvent: (event: ServerEvent) => void, signal: AbortSignal, after = ''): Promise<StreamEnd> {
    const headers: Record<string, string> = { Accept: 'text/event-stream' };
    if (after !== '') headers['Last-Event-ID'] = after;
    const answer = await this.send('GET', path, undefined, signal, headers, null);
    if (answer.status === 204 || answer.body === null) return 'nothing';
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new EventParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return 'ended';
      for (const event of parser.push(value)) onEvent(event);
    }
  }

  private async json<T>(method: string, path: string, body?: unknown, signal?: AbortSignal, headers: Record<string, string> = {}): Promise<T> {
    const answer = await this.send(method, path, body, signal, headers);
    const text = await answer.text();
    return (text === '' ? null : JSON.parse(text)) as T;
  }

  private async send(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
    headers: Record<string, string> = {},
    timeout: number | null = TIMEOUT_MS,
  ): Promise<Response> {
    const all: Record<string, string> = { ...headers };
    if (this.key !== '') all.Authorization = `Bearer ${this.key}`;
    if (body !== undefined) all['Content-Type'] = 'application/json';
    const signals = [signal, timeout === null ? undefined : AbortSignal.timeout(timeout)].filter((s) => s !== undefined);
    let answer: Response;
    try {
      answer = await fetch(path, {
        method,
        headers: all,
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.any(signals),
        cache: 'no-store',
        credentials: 'omit',
        redirect: 'error',
      });
    } catch (thrown) {
      if (signal?.aborted) throw thrown;
      throw asProblem(thrown);
    }
    if (answer.ok) return answer;
    const problem = problemOf(answer.status, answer.headers.get('X-Mezzo-Reason'), answer.headers.get('Retry-After'), await answer.text());
    if (problem.status === 401) this.onRefused(problem);
    throw problem;
  }
}
