import type { Route } from '../api/types';
import type { ColorName } from './chart';

/** A part of a model's calls. */
export interface Part {
  name: string;
  version: string;
  weight: number; // In 1/10,000.
}

const WHOLE = 10_000;
const OTHERS: readonly ColorName[] = ['violet', 'good', 'bad', 'warm'];

/** The parts that a route deals calls to; without a split all are the stable version's. */
export function partsOf(route: Route): Part[] {
  const arms = route.split?.arms ?? [];
  return arms.length > 0 ? arms.map(({ name, version, weight }) => ({ name, version, weight })) : [{ name: 'stable', version: route.stable, weight: WHOLE }];
}

const ORDER = ['stable', 'baseline', 'canary'];

/** The usual parts first, in their order, so that a bar reads alike whoever wrote the route. */
export function inOrder(parts: readonly Part[]): Part[] {
  const place = (part: Part) => (ORDER.includes(part.name) ? ORDER.indexOf(part.name) : ORDER.length);
  return [...parts].sort((a, b) => place(a) - place(b));
}

/** Always the same for the usual names, one by one for others. */
export function colorsOf(parts: readonly Part[]): ColorName[] {
  let others = 0;
  return parts.map(({ name }) => {
    if (name === 'stable') return 'accent';
    if (name === 'baseline') return 'quiet';
    if (name === 'canary') return 'warm';
    return OTHERS[others++ % OTHERS.length] ?? 'violet';
  });
}

/** 1/10,000 as percent: as many digits as it has, two at most. */
export function percentOf(weight: number, language: string): string {
  return new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: 2 }).format(weight / WHOLE);
}

/** The split in words: what a picture of it is called. */
export function spoken(parts: readonly Part[], language: string): string {
  return inOrder(parts).map((part) => `${part.name} ${part.version}: ${percentOf(part.weight, language)}`).join(', ');
}
