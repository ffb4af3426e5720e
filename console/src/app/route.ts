export const rooms = ['overview', 'models', 'registry', 'releases', 'pipelines', 'drift', 'retirement', 'jobs', 'gallery', 'playground', 'usage', 'cache', 'limits'] as const;
export type Room = (typeof rooms)[number];

/** Where one is: a room, and what in it. The fragment holds it, so the server never sees it. */
export interface Place {
  room: Room | null; // null: there is no such room.
  item: string;
}

export function placeOf(hash: string): Place {
  const [path = ''] = hash.split('?', 1);
  const [room = '', ...rest] = path.replace(/^#?\/?/, '').split('/');
  let item = '';
  try {
    item = decodeURIComponent(rest.join('/'));
  } catch {
    return { room: null, item: '' };
  }
  if (room === '') return { room: 'overview', item: '' };
  const known = rooms.find((name) => name === room);
  return known ? { room: known, item } : { room: null, item: '' };
}

/** The address of a place, with what it is narrowed down by; empty values are left out. */
export function hashOf(room: Room, item = '', params: Readonly<Record<string, string>> = {}): string {
  const kept = Object.entries(params).filter(([, value]) => value !== '');
  return `#/${room}${item === '' ? '' : `/${encodeURIComponent(item)}`}${kept.length === 0 ? '' : `?${new URLSearchParams(kept)}`}`;
}

/** What an address narrows its room down by; '' for what it does not name. */
export function paramOf(hash: string, name: string): string {
  const at = hash.indexOf('?');
  return at < 0 ? '' : (new URLSearchParams(hash.slice(at + 1)).get(name) ?? '');
}

/** The same address with another value; '' takes it out. */
export function withParam(hash: string, name: string, value: string): string {
  const [path = '', query = ''] = hash.split('?', 2);
  const params = new URLSearchParams(query);
  if (value === '') params.delete(name);
  else params.set(name, value);
  return params.size === 0 ? path : `${path}?${params}`;
}

/** The second letter of "g o". */
export const roomKeys: Record<Room, string> = {
  overview: 'o',
  models: 'm',
  registry: 'y',
  releases: 'r',
  pipelines: 'i',
  drift: 'd',
  retirement: 'e',
  jobs: 'j',
  gallery: 'a',
  playground: 'p',
  usage: 'u',
  cache: 'c',
  limits: 'l',
};
