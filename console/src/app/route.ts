export const rooms = ['overview', 'models', 'registry', 'releases', 'pipelines', 'jobs', 'gallery', 'playground', 'usage', 'cache', 'limits'] as const;
export type Room = (typeof rooms)[number];

/** Where one is: a room, and what in it. The fragment holds it, so the server never sees it. */
export interface Place {
  room: Room | null; // null: there is no such room.
  item: string;
}

export function placeOf(hash: string): Place {
  const [room = '', ...rest] = hash.replace(/^#?\/?/, '').split('/');
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

export function hashOf(room: Room, item = ''): string {
  return `#/${room}${item === '' ? '' : `/${encodeURIComponent(item)}`}`;
}

/** The second letter of "g o". */
export const roomKeys: Record<Room, string> = {
  overview: 'o',
  models: 'm',
  registry: 'y',
  releases: 'r',
  pipelines: 'i',
  jobs: 'j',
  gallery: 'a',
  playground: 'p',
  usage: 'u',
  cache: 'c',
  limits: 'l',
};
