import { useState } from 'preact/hooks';

export interface Pages {
  cursor: string; // Where the page begins, in the server's words; '' for the first.
  number: number; // From 0.
  next: (cursor: string) => void;
  back: () => void;
}

/** The pages of a list that the server cuts; the first again whenever one of `inputs` changes. */
export function usePages(inputs: readonly (string | number)[]): Pages {
  const of = JSON.stringify(inputs);
  const [state, setState] = useState<{ of: string; cursors: readonly string[] }>({ of, cursors: [] });
  const cursors = state.of === of ? state.cursors : [];
  return {
    cursor: cursors.at(-1) ?? '',
    number: cursors.length,
    next: (cursor) => setState({ of, cursors: [...cursors, cursor] }),
    back: () => setState({ of, cursors: cursors.slice(0, -1) }),
  };
}

/** The pages of a list that is here as a whole. */
export function useSlices<T>(rows: readonly T[], size: number, inputs: readonly (string | number)[]): { shown: readonly T[]; pages: Pages; more: boolean } {
  const pages = usePages(inputs);
  // Rows may have gone meanwhile.
  const number = Math.min(pages.number, Math.max(0, Math.ceil(rows.length / size) - 1));
  return { shown: rows.slice(number * size, (number + 1) * size), pages: { ...pages, number }, more: (number + 1) * size < rows.length };
}
