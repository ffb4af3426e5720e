import { expect, test } from 'vitest';
import { EventParser } from './sse';

const TEXT = ': hello\n\nid: 1\nevent: job.running\ndata: {"a":1}\n\nid:2\ndata:x\ndata: y\n\nevent: lost\n\ndata: last\r\n\r\n';
const EVENTS = [
  { id: '1', event: 'job.running', data: '{"a":1}' },
  { id: '2', event: 'message', data: 'x\ny' },
  { id: '2', event: 'message', data: 'last' },
];

test('a stream is taken apart however it is cut', () => {
  expect(new EventParser().push(TEXT)).toEqual(EVENTS);
  for (let size = 1; size < TEXT.length; size++) {
    const parser = new EventParser();
    const found = [];
    for (let at = 0; at < TEXT.length; at += size) found.push(...parser.push(TEXT.slice(at, at + size)));
    expect(found).toEqual(EVENTS);
  }
});

test('all three line ends are ends, and half an event is none', () => {
  for (const end of ['\n', '\r', '\r\n']) {
    const parser = new EventParser();
    expect(parser.push(`data: a${end}`)).toEqual([]);
    const found = [...parser.push(end), ...parser.push('data: b')];
    expect(found).toEqual([{ id: '', event: 'message', data: 'a' }]);
  }
});

test('a field without a colon is an empty one', () => {
  expect(new EventParser().push('data\n\n')).toEqual([{ id: '', event: 'message', data: '' }]);
});
