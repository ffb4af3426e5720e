import { useEffect, useRef, useState } from 'preact/hooks';
import type { Client } from '../api/client';
import { asProblem, type Problem } from '../api/problem';
import type { ServerEvent } from '../api/sse';

export type Connection = 'connecting' | 'open' | 'lost' | 'ended';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/**
 * Keeps a stream of events open while the component lives, going on where it broke, after pauses that grow. `path` null: none. A stream
 * that `isLast` an event of is over; refusals but those that pass end it, too.
 */
export function useEvents(
  client: Client,
  path: string | null,
  onEvent: (event: ServerEvent) => void,
  isLast: (event: ServerEvent) => boolean = () => false,
): { connection: Connection; problem: Problem | null } {
  const [connection, setConnection] = useState<Connection>('connecting');
  const [problem, setProblem] = useState<Problem | null>(null);
  const handlers = useRef({ onEvent, isLast });
  handlers.current = { onEvent, isLast };
  useEffect(() => {
    if (path === null) return undefined;
    const stop = new AbortController();
    let last = '';
    let over = false;
    let pause = FIRST_PAUSE_MS;
    const run = async () => {
      while (!stop.signal.aborted && !over) {
        try {
          const end = await client.events(
            path,
            (event) => {
              if (event.id !== '') last = event.id;
              pause = FIRST_PAUSE_MS;
              setConnection('open');
              setProblem(null);
              over = handlers.current.isLast(event);
              handlers.current.onEvent(event);
            },
            stop.signal,
            last,
          );
          if (end === 'nothing') over = true;
        } catch (thrown) {
          if (stop.signal.aborted) return;
          const found = asProblem(thrown);
          setProblem(found);
          if (found.status >= 400 && found.status < 500 && found.status !== 429) over = true;
        }
        if (stop.signal.aborted) return;
        if (over) break;
        setConnection('lost');
        await new Promise((resolve) => window.setTimeout(resolve, pause));
        pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
      }
      if (!stop.signal.aborted) setConnection('ended');
    };
    setConnection('connecting');
    setProblem(null);
    void run();
    return () => stop.abort();
  }, [client, path]);
  return { connection, problem };
}
