import type { ComponentChildren, JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Problem } from '../api/problem';
import type { Scope } from '../api/types';
import { useSession, useTexts } from '../app/context';
import type { Loaded } from '../app/use_data';
import type { Pages } from '../app/use_pages';
import { formatNumber, formatTime, formatZoned } from './format';
import { Scrolls } from './scrolls';

/** A room's frame: its heading, what is done in it, its content. */
export function Page(props: { title: ComponentChildren; actions?: ComponentChildren; children: ComponentChildren }) {
  return (
    <>
      <header class="page-head">
        <h1>{props.title}</h1>
        <div class="actions">{props.actions}</div>
      </header>
      {props.children}
    </>
  );
}

export function Panel(props: { title?: ComponentChildren; aside?: ComponentChildren; class?: string; children: ComponentChildren }) {
  return (
    <section class={`panel ${props.class ?? ''}`}>
      {props.title !== undefined && (
        <header>
          <h2>{props.title}</h2>
          <div class="aside">{props.aside}</div>
        </header>
      )}
      {props.children}
    </section>
  );
}

/** A moment of RFC 3339, short; with its zone when one asks. */
export function Time(props: { at: string | null | undefined }) {
  const { language } = useSession();
  if (!props.at) return <>–</>;
  return (
    <time dateTime={props.at} title={formatZoned(props.at, language)}>
      {formatTime(props.at, language)}
    </time>
  );
}

/** Why the server refused, and a way on. `since`: when what is shown nevertheless came, in milliseconds. */
export function Failure(props: { problem: Problem; retry?: () => void; since?: number | null }) {
  const t = useTexts();
  const { language } = useSession();
  const { problem, since = null } = props;
  return (
    <div class="failure" role="alert">
      <strong>{problem.status === 0 ? t('error.offline') : t('error.title')}</strong>
      <p>
        {problem.message}
        {problem.retryAfter !== null && ` ${t('error.later', { seconds: problem.retryAfter })}`}
      </p>
      {since !== null && <p>{t('error.since', { time: formatTime(new Date(since).toISOString(), language) })}</p>}
      {problem.reason !== '' && <p class="quiet mono">{t('error.reason', { reason: problem.reason })}</p>}
      {props.retry && (
        <button type="button" onClick={props.retry}>
          {t('app.retry')}
        </button>
      )}
    </div>
  );
}

export function Empty(props: { children: ComponentChildren }) {
  return <p class="empty">{props.children}</p>;
}

/** What a room needs that the caller has not. */
export function Locked(props: { scope: Scope }) {
  const t = useTexts();
  const { caller } = useSession();
  return (
    <Empty>
      <span class="lock" aria-hidden="true" />
      {t('app.needs', { scope: props.scope, have: caller.scopes.join(', ') || '–' })}
    </Empty>
  );
}

/** Nothing yet: quiet for a moment, so that quick answers don't flicker. */
export function Loading() {
  const t = useTexts();
  return (
    <p class="empty delayed" role="status">
      {t('app.loading')}
    </p>
  );
}

/** Said to who may look and not touch. */
export function ReadOnly() {
  const t = useTexts();
  const { can } = useSession();
  return can('operate') ? null : <Badge tone="quiet">{t('app.readOnly')}</Badge>;
}

/** The field that "/" leads to. */
export function Search(props: { value: string; onChange: (value: string) => void }) {
  const t = useTexts();
  return <input type="search" maxLength={128} placeholder={`${t('app.search')}  /`} aria-label={t('app.search')} value={props.value} onInput={(event) => props.onChange(event.currentTarget.value)} />;
}

/** Which rows of a list are seen, and the way to the others; nothing where all are. `of`: of how many, where that is known. */
export function Pager(props: { pages: Pages; size: number; shown: number; of?: number; next: string | null }) {
  const t = useTexts();
  const { language } = useSession();
  const { pages, next } = props;
  if (pages.number === 0 && next === null) return null;
  const number = (value: number) => formatNumber(value, language);
  const first = pages.number * props.size + 1;
  const rows = { from: number(first), to: number(first + Math.max(0, props.shown - 1)) };
  return (
    <nav class="pager" aria-label={t('pager.pages')}>
      <button type="button" disabled={pages.number === 0} onClick={pages.back}>
        ← {t('pager.back')}
      </button>
      <span class="quiet" role="status">
        {props.of === undefined ? t('pager.rows', rows) : t('pager.rowsOf', { ...rows, of: number(props.of) })}
      </span>
      <button type="button" disabled={next === null} onClick={() => next !== null && pages.next(next)}>
        {t('pager.next')} →
      </button>
    </nav>
  );
}

export function Badge(props: { tone: 'good' | 'bad' | 'busy' | 'quiet'; children: ComponentChildren }) {
  return <span class={`badge ${props.tone}`}>{props.children}</span>;
}

export function Bar(props: { share: number; label: string }) {
  const percent = Math.round(100 * Math.min(1, Math.max(0, props.share)));
  return (
    <div class="bar" role="progressbar" aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100} aria-label={props.label}>
      <div style={{ width: `${percent}%` }} />
    </div>
  );
}

/** A choice of a few, as a row of buttons. */
export function Choice<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}) {
  return (
    <div class="choice" role="radiogroup" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button
          key={value}
          type="button"
          role="radio"
          aria-checked={value === props.value}
          tabIndex={value === props.value ? 0 : -1}
          onClick={() => props.onChange(value)}
          onKeyDown={(event) => {
            const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
            if (step === undefined) return;
            event.preventDefault();
            const at = props.options.findIndex(([one]) => one === props.value);
            const next = (at + step + props.options.length) % props.options.length;
            const found = props.options[next];
            if (found) props.onChange(found[0]);
            (event.currentTarget.parentElement?.children[next] as HTMLElement | undefined)?.focus();
          }}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

/** A choice of many. */
export function Select<T extends string>(props: { label: string; value: T; options: readonly (readonly [T, string])[]; onChange: (value: T) => void }) {
  return (
    <select aria-label={props.label} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value as T)}>
      {props.options.map(([value, text]) => (
        <option key={value} value={value}>
          {text}
        </option>
      ))}
    </select>
  );
}

export function Field(props: { label: string; hint?: string; class?: string; children: ComponentChildren }) {
  return (
    <label class={`field ${props.class ?? ''}`}>
      <span>{props.label}</span>
      {props.children}
      {props.hint !== undefined && <small>{props.hint}</small>}
    </label>
  );
}

export interface Column<T> {
  key: string;
  title: string;
  number?: boolean;
  wide?: boolean; // Left out on small screens.
  cell: (row: T) => ComponentChildren;
}

/** A table; rows with an address open by a click or Enter, through a link in their first cell. */
export function Table<T>(props: {
  label: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  rowKey: (row: T) => string;
  href?: (row: T) => string;
  foot?: JSX.Element | null;
}) {
  return (
    <Scrolls label={props.label} class="table-frame">
      <table aria-label={props.label}>
        <thead>
          <tr>
            {props.columns.map((column) => (
              <th key={column.key} scope="col" class={`${column.number ? 'number' : ''} ${column.wide ? 'wide' : ''}`}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <tr key={props.rowKey(row)} class={props.href ? 'opens' : ''}>
              {props.columns.map((column, at) => (
                <td key={column.key} class={`${column.number ? 'number' : ''} ${column.wide ? 'wide' : ''}`}>
                  {at === 0 && props.href ? (
                    <a class="row-link" href={props.href(row)}>
                      {column.cell(row)}
                    </a>
                  ) : (
                    column.cell(row)
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
        {props.foot}
      </table>
    </Scrolls>
  );
}

/** Keeps a key that is held down from pressing the button that has come under it. */
export function notHeld(event: KeyboardEvent): void {
  if (event.repeat) event.preventDefault();
}

/** A dialog over the page: keeps the focus, closes by Escape. */
export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }) {
  const t = useTexts();
  const dialog = useRef<HTMLDialogElement>(null);
  // Before anything is seen: whoever presses a key next means the dialog.
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog ref={dialog} aria-label={props.title} onClose={props.onClose} onClick={(event) => event.target === dialog.current && props.onClose()}>
      <header>
        <h2>{props.title}</h2>
        <button type="button" class="plain" aria-label={t('app.close')} onClick={props.onClose}>
          ×
        </button>
      </header>
      {props.children}
    </dialog>
  );
}

/** Asks before something that others notice. A key that is still held down from opening it answers nothing. */
export function Confirm(props: { question: string; action: string; onYes: () => void; onClose: () => void }) {
  const t = useTexts();
  return (
    <Dialog title={props.action} onClose={props.onClose}>
      <p>{props.question}</p>
      <div class="actions">
        <button type="button" onClick={props.onClose}>
          {t('app.close')}
        </button>
        <button
          type="button"
          class="danger"
          onKeyDown={notHeld}
          onClick={() => {
            props.onYes();
            props.onClose();
          }}
        >
          {props.action}
        </button>
      </div>
    </Dialog>
  );
}

/** A list of a room: why there is none, that it is coming, that it is empty (`empty` says why), or its rows with a way to the others. */
export function Listing<T>(props: {
  of: Loaded<unknown>;
  off?: string; // Said where the server has no such thing.
  rows: readonly T[];
  empty: string;
  label: string;
  columns: readonly Column<T>[];
  rowKey: (row: T) => string;
  href?: (row: T) => string;
  pager?: JSX.Element;
}) {
  const { data, problem, at, reload } = props.of;
  const { off } = props;
  return (
    <>
      {problem !== null && (off !== undefined && (problem.reason === 'unknown_url' || problem.status === 404) ? <Empty>{off}</Empty> : <Failure problem={problem} retry={reload} since={at} />)}
      {data === null && problem === null && <Loading />}
      {data !== null && props.rows.length === 0 && <Empty>{props.empty}</Empty>}
      {data !== null && props.rows.length > 0 && (
        <Panel>
          <Table label={props.label} columns={props.columns} rows={props.rows} rowKey={props.rowKey} {...(props.href && { href: props.href })} />
        </Panel>
      )}
      {props.pager}
    </>
  );
}
