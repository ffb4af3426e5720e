import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { asProblem, type Problem } from '../api/problem';

export interface Loaded<T> {
  data: T | null;
  problem: Problem | null;
  loading: boolean;
  at: number | null; // When `data` came, in milliseconds.
  reload: () => void;
}

/** What `load` gives, anew whenever one of `inputs` changes and every `everyMs` (0: not by itself). Old data stays until new is there. */
export function useData<T>(load: (signal: AbortSignal) => Promise<T>, inputs: readonly unknown[], everyMs = 0): Loaded<T> {
  const [data, setData] = useState<T | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [loading, setLoading] = useState(true);
  const [at, setAt] = useState<number | null>(null);
  const [round, setRound] = useState(0);
  const newest = useRef(load);
  newest.current = load;
  useEffect(() => {
    setData(null);
  }, inputs);
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const ask = async () => {
      setLoading(true);
      try {
        const found = await newest.current(stop.signal);
        if (stop.signal.aborted) return;
        setData(found);
        setAt(Date.now());
        setProblem(null);
      } catch (thrown) {
        if (stop.signal.aborted) return;
        setProblem(asProblem(thrown));
      }
      setLoading(false);
      if (everyMs > 0) timer = window.setTimeout(ask, everyMs);
    };
    void ask();
    return () => {
      stop.abort();
      window.clearTimeout(timer);
    };
  }, [...inputs, everyMs, round]);
  return { data, problem, loading, at: data === null ? null : at, reload: useCallback(() => setRound((n) => n + 1), []) };
}
