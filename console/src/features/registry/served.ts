import type { RegistryEvent } from '../../api/types';

/** For how long a name stood for a version, or hosts served one. Times are milliseconds. */
export interface Span {
  version: number;
  from: number;
  to: number;
}

export interface Lane {
  kind: 'alias' | 'version';
  name: string;
  spans: Span[];
}

/** What a model's aliases stood for and which versions were served by any host, of its history (newest first); what goes on ends `now`. */
export function lanesOf(events: readonly RegistryEvent[], now: number): Lane[] {
  const aliases = new Map<string, Span[]>();
  const served = new Map<number, { spans: Span[]; hosts: Set<string> }>();
  for (const event of [...events].reverse()) {
    const at = Date.parse(event.at);
    const field = event.field ?? '';
    if (event.kind === 'alias_set' || event.kind === 'alias_deleted') {
      const spans = aliases.get(field) ?? [];
      aliases.set(field, spans);
      const last = spans.at(-1);
      if (last !== undefined && last.to === Infinity) last.to = at;
      if (event.kind === 'alias_set' && event.version !== null) spans.push({ version: event.version, from: at, to: Infinity });
    } else if ((event.kind === 'served' || event.kind === 'withdrawn') && event.version !== null) {
      const lane = served.get(event.version) ?? { spans: [], hosts: new Set<string>() };
      served.set(event.version, lane);
      const before = lane.hosts.size;
      if (event.kind === 'served') lane.hosts.add(field);
      else lane.hosts.delete(field);
      const last = lane.spans.at(-1);
      if (before === 0 && lane.hosts.size > 0) lane.spans.push({ version: event.version, from: at, to: Infinity });
      else if (before > 0 && lane.hosts.size === 0 && last !== undefined) last.to = at;
    }
  }
  const ended = (spans: readonly Span[]) => spans.map((span) => ({ ...span, to: Math.min(span.to, Math.max(now, span.from)) }));
  return [
    ...[...aliases].sort(([a], [b]) => a.localeCompare(b, 'en')).map(([name, spans]): Lane => ({ kind: 'alias', name, spans: ended(spans) })),
    ...[...served].sort(([a], [b]) => b - a).map(([version, { spans }]): Lane => ({ kind: 'version', name: String(version), spans: ended(spans) })),
  ].filter((lane) => lane.spans.length > 0);
}

/** From when to when the lanes go; null when there are none. */
export function reachOf(lanes: readonly Lane[]): { from: number; to: number } | null {
  const spans = lanes.flatMap((lane) => lane.spans);
  if (spans.length === 0) return null;
  const from = Math.min(...spans.map((span) => span.from));
  const to = Math.max(...spans.map((span) => span.to));
  return { from, to: Math.max(to, from + 1000) };
}

/** Where a span lies, in percent; never thinner than can be seen. */
export function placeIn(span: Span, reach: { from: number; to: number }): { left: number; width: number } {
  const whole = reach.to - reach.from;
  const width = Math.max(0.6, (100 * (span.to - span.from)) / whole);
  return { left: Math.min(100 - width, (100 * (span.from - reach.from)) / whole), width };
}

/** A search's pattern of what somebody typed: its % and _ are themselves. */
export function patternOf(text: string): string {
  return `%${text.trim().replace(/[\\%_]/g, '\\$&')}%`;
}
