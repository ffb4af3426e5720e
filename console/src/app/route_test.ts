import { expect, test } from 'vitest';
import { hashOf, placeOf, roomKeys, rooms } from './route';

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
