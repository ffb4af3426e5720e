import { useCallback, useRef, useState } from 'preact/hooks';
import { asProblem, type Problem } from '../api/problem';

export interface Action {
  busy: boolean;
  failed: Problem | null;
  /** Runs `work` unless one runs already; whether it was done. A refusal is kept in `failed` until the next. */
  run: (work: () => Promise<unknown>) => Promise<boolean>;
}

/** Something that a button does: once, however often it is pressed meanwhile. `after` follows each, done or refused. */
export function useAction(after?: () => void): Action {
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<Problem | null>(null);
  // The state tells the next drawing; a second click may come before it.
  const running = useRef(false);
  const newest = useRef(after);
  newest.current = after;
  const run = useCallback(async (work: () => Promise<unknown>) => {
    if (running.current) return false;
    running.current = true;
    setBusy(true);
    setFailed(null);
    let done = true;
    try {
      await work();
    } catch (thrown) {
      done = false;
      setFailed(asProblem(thrown));
    }
    running.current = false;
    setBusy(false);
    newest.current?.();
    return done;
  }, []);
  return { busy, failed, run };
}
