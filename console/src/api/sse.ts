/** One server-sent event. `id` is that of the stream so far, as the standard has it. */
export interface ServerEvent {
  id: string;
  event: string;
  data: string;
}

/**
 * Takes a text/event-stream apart (WHATWG HTML, section 9.2.6), however it is cut into pieces. Comments and `retry` are left
 * out; an event without data is none.
 */
export class EventParser {
  private rest = '';
  private id = '';
  private event = '';
  private data: string[] = [];

  /** The events that `piece` completes. */
  push(piece: string): ServerEvent[] {
    // A carriage return at the end may be half of a line's end: it waits for what follows.
    const text = this.rest + piece;
    const events: ServerEvent[] = [];
    let start = 0;
    for (let i = 0; i < text.length; i++) {
      const c = text[i];
      if (c !== '\n' && c !== '\r') continue;
      if (c === '\r' && i + 1 === text.length) break;
      this.line(text.slice(start, i), events);
      if (c === '\r' && text[i + 1] === '\n') i++;
      start = i + 1;
    }
    this.rest = text.slice(start);
    return events;
  }

  private line(line: string, events: ServerEvent[]): void {
    if (line === '') {
      if (this.data.length > 0) events.push({ id: this.id, event: this.event || 'message', data: this.data.join('\n') });
      this.event = '';
      this.data = [];
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') this.data.push(value);
    else if (field === 'event') this.event = value;
    else if (field === 'id' && !value.includes('\0')) this.id = value;
  }
}
