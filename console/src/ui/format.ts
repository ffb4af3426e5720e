/** Numbers, times and sizes for people; all pure. */

export function formatNumber(value: number, language: string): string {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

export function formatMs(ms: number | null | undefined, language: string): string {
  if (ms === null || ms === undefined) return '–';
  if (ms === 0) return '0 s';
  if (ms < 1) return `${formatNumber(ms * 1000, language)} µs`;
  if (ms < 1000) return `${formatNumber(ms, language)} ms`;
  if (ms < 120_000) return `${formatNumber(ms / 1000, language)} s`;
  if (ms < 7_200_000) return `${formatNumber(ms / 60_000, language)} min`;
  return `${formatNumber(ms / 3_600_000, language)} h`;
}

export function formatBytes(bytes: number, language: string): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit + 1 < units.length) {
    value /= 1024;
    unit++;
  }
  return `${formatNumber(value, language)} ${units[unit]}`;
}

export function formatPercent(share: number, language: string): string {
  const digits = share > 0 && share < 0.1 ? 1 : 0;
  return new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: digits }).format(share);
}

/** The day and time of an RFC 3339 text, short; "–" for what is none. */
export function formatTime(text: string | null | undefined, language: string): string {
  const at = text ? new Date(text) : null;
  if (at === null || Number.isNaN(at.getTime())) return '–';
  return new Intl.DateTimeFormat(language, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false }).format(at);
}

/** The same moment with its year and zone. */
export function formatZoned(text: string, language: string): string {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? text : new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'long' }).format(at);
}

/** The zone that times are shown in, as "Europe/Berlin (GMT+1)". */
export function zoneName(language: string, now: number): string {
  const format = new Intl.DateTimeFormat(language, { timeZoneName: 'shortOffset' });
  const zone = format.resolvedOptions().timeZone;
  const offset = format.formatToParts(now).find((part) => part.type === 'timeZoneName')?.value ?? '';
  return offset === '' || zone === 'UTC' ? zone : `${zone} (${offset})`;
}

/** From one RFC 3339 text to another, or until `now`. */
export function formatSpan(from: string | null, to: string | null, now: number, language: string): string {
  if (!from) return '–';
  const end = to ? Date.parse(to) : now;
  return formatMs(Math.max(0, end - Date.parse(from)), language);
}

/** Millionths of a currency. */
export function formatMoney(micros: number, currency: string | null, language: string): string {
  const value = micros / 1e6;
  if (currency === null || currency === '') return formatNumber(value, language);
  try {
    return new Intl.NumberFormat(language, { style: 'currency', currency, maximumFractionDigits: Math.abs(value) < 1 ? 4 : 2 }).format(value);
  } catch {
    return `${formatNumber(value, language)} ${currency}`; // No code that the browser knows.
  }
}

/** The first digits of an id that grows with time are the same for all: its end tells jobs apart. */
export function shortId(id: string): string {
  return id.length > 12 ? `…${id.slice(-8)}` : id;
}
