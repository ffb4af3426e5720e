import { expect, test } from 'vitest';
import { hashOf, paramOf, placeOf, roomKeys, rooms, withParam } from './route';

test('every place comes back from its address', () => {
  for (const room of rooms) {
    for (const item of ['', 'a', 'emoji/unet', '图/%', '01990000-0000']) expect(placeOf(hashOf(room, item))).toEqual({ room, item });
  }
});

test('no address is the overview, a wrong one is nowhere', () => {
  expect(placeOf('')).toEqual({ room: 'overview', item: '' });
  expect(placeOf('#/')).toEqual({ room: 'overview', item: '' });
  expect(placeOf('#/nothing/x').room).toBeNull();
  expect(placeOf('#/jobs/%E0%A4%A').room).toBeNull();
});

test('every room has a key of its own', () => {
  expect(new Set(Object.values(roomKeys)).size).toBe(rooms.length);
});

test('filters stand in the address and change nothing of the place', () => {
  const hash = hashOf('jobs', 'a?b', { status: 'failed', kind: '' });
  expect(placeOf(hash)).toEqual({ room: 'jobs', item: 'a?b' });
  expect(paramOf(hash, 'status')).toBe('failed');
  expect(paramOf(hash, 'kind')).toBe('');
  expect(paramOf('#/jobs', 'status')).toBe('');
  const other = withParam(hash, 'q', 'a&b=c #?');
  expect(paramOf(other, 'q')).toBe('a&b=c #?');
  expect(paramOf(other, 'status')).toBe('failed');
  expect(withParam(withParam(other, 'q', ''), 'status', '')).toBe(hashOf('jobs', 'a?b'));
});
