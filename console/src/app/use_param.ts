import { useCallback, useEffect, useState } from 'preact/hooks';
import { paramOf, withParam } from './route';

/**
 * A filter that the address holds, so that a reload, a link and the way back keep it. `fallback` is what an address without it means; with
 * `allowed`, an address that says anything else means that, too.
 */
export function useParam<T extends string>(name: string, fallback: T, allowed?: readonly T[]): [T, (value: T) => void] {
  const read = (): T => {
    const found = paramOf(location.hash, name) as T;
    return found === '' || (allowed !== undefined && !allowed.includes(found)) ? fallback : found;
  };
  const [value, setValue] = useState(read);
  useEffect(() => {
    const moved = () => setValue(read());
    window.addEventListener('hashchange', moved);
    return () => window.removeEventListener('hashchange', moved);
  }, [name, fallback]);
  const change = useCallback(
    (next: T) => {
      setValue(next);
      // Replaced, not pushed: the way back leads to the room before, not through every letter that was typed.
      history.replaceState(null, '', withParam(location.hash, name, next === fallback ? '' : next));
    },
    [name, fallback],
  );
  return [value, change];
}
