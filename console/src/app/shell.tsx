import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Scope } from '../api/types';
import { CacheRoom } from '../features/cache/cache_room';
import { DriftRoom } from '../features/drift/drift_room';
import { GalleryRoom } from '../features/jobs/gallery_room';
import { JobsRoom } from '../features/jobs/jobs_room';
import { LimitsRoom } from '../features/limits/limits_room';
import { ModelsRoom } from '../features/models/models_room';
import { OverviewRoom } from '../features/overview/overview_room';
import { PipelinesRoom } from '../features/pipelines/pipelines_room';
import { PlaygroundRoom } from '../features/playground/playground_room';
import { RegistryRoom } from '../features/registry/registry_room';
import { ReleasesRoom } from '../features/releases/releases_room';
import { RetirementRoom } from '../features/retirement/retirement_room';
import { UsageRoom } from '../features/usage/usage_room';
import type { Language } from '../i18n/texts';
import { shortId, zoneName } from '../ui/format';
import { Dialog, Empty, Locked } from '../ui/parts';
import { useSession, useTexts } from './context';
import { Looks } from './looks';
import { themes, type Theme } from './preferences';
import { roleOf } from './rights';
import { hashOf, placeOf, roomKeys, rooms, type Place, type Room } from './route';

/** What a room needs before it is of any use. */
const NEEDS: Record<Room, Scope> = {
  overview: 'observe',
  models: 'read',
  registry: 'read',
  releases: 'observe',
  pipelines: 'observe',
  drift: 'observe',
  retirement: 'read',
  jobs: 'read',
  gallery: 'read',
  playground: 'infer',
  usage: 'read',
  cache: 'observe',
  limits: 'admin',
};

function inField(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName));
}

/** The frame around all rooms: where one may go, who one is. */
export function Shell(props: {
  version: string;
  signOut: () => void;
  language: Language;
  theme: Theme;
  chooseLanguage: (language: Language) => void;
  chooseTheme: (theme: Theme) => void;
}) {
  const t = useTexts();
  const { caller, can } = useSession();
  const [place, setPlace] = useState<Place>(() => placeOf(location.hash));
  const [help, setHelp] = useState(false);
  const [menu, setMenu] = useState(false);
  const content = useRef<HTMLElement>(null);
  const newest = useRef(props);
  newest.current = props;

  useLayoutEffect(() => {
    // Who may not see the overview begins with the jobs.
    if (location.hash === '' && !can('observe')) location.replace(hashOf('jobs'));
    const moved = () => {
      setPlace(placeOf(location.hash));
      setMenu(false);
    };
    window.addEventListener('hashchange', moved);
    return () => window.removeEventListener('hashchange', moved);
  }, []);

  useEffect(() => {
    document.title = place.room === null ? 'Mezzo' : [place.item.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, shortId), t(`room.${place.room}`), 'Mezzo'].filter((one) => one !== '').join(' · ');
  }, [place.room, place.item, props.language]);

  // Before anything is seen: who sees the room may press a key at once.
  useLayoutEffect(() => {
    let going = 0; // When "g" was pressed; 0: it was not.
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (inField(event.target)) {
        if (event.key === 'Escape') (event.target as HTMLElement).blur();
        return;
      }
      if (document.querySelector('dialog[open]')) return;
      if (going !== 0 && event.timeStamp - going < 1500) {
        going = 0;
        const room = rooms.find((one) => roomKeys[one] === event.key);
        if (room) {
          event.preventDefault();
          location.hash = hashOf(room);
          content.current?.focus();
        }
        return;
      }
      if (event.key === 'g') {
        going = event.timeStamp;
      } else if (event.key === '?') {
        setHelp(true);
      } else if (event.key === '/') {
        const field = document.querySelector<HTMLInputElement>('input[type=search]');
        if (field) {
          event.preventDefault();
          field.focus();
        }
      } else if (event.key === 't') {
        const { theme, chooseTheme } = newest.current;
        chooseTheme(themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'system');
      }
    };
    window.addEventListener('keydown', pressed);
    return () => window.removeEventListener('keydown', pressed);
  }, []);

  const look = `${props.theme} ${props.language} ${useSystemDark()}`;
  const room = () => {
    if (place.room === null) return <Empty>{t('app.noSuchRoom')}</Empty>;
    if (!can(NEEDS[place.room])) return <Locked scope={NEEDS[place.room]} />;
    switch (place.room) {
      case 'overview':
        return <OverviewRoom look={look} />;
      case 'models':
        return <ModelsRoom item={place.item} />;
      case 'registry':
        return <RegistryRoom item={place.item} />;
      case 'releases':
        return <ReleasesRoom item={place.item} look={look} />;
      case 'pipelines':
        return <PipelinesRoom item={place.item} />;
      case 'drift':
        return <DriftRoom item={place.item} look={look} />;
      case 'retirement':
        return <RetirementRoom />;
      case 'jobs':
        return <JobsRoom item={place.item} />;
      case 'gallery':
        return <GalleryRoom />;
      case 'playground':
        return <PlaygroundRoom />;
      case 'usage':
        return <UsageRoom look={look} />;
      case 'cache':
        return <CacheRoom />;
      case 'limits':
        return <LimitsRoom />;
    }
  };

  return (
    <div class={`shell ${menu ? 'menu-open' : ''}`}>
      <a
        class="skip"
        href="#content"
        onClick={(event) => {
          event.preventDefault();
          content.current?.focus();
        }}
      >
        {t('app.skip')}
      </a>
      <aside>
        <div class="brand">
          <img src="/console/icon.svg" alt="" width="24" height="24" />
          <span>Mezzo</span>
          <small class="quiet">{props.version}</small>
          <button type="button" class="plain menu-button" aria-expanded={menu} onClick={() => setMenu(!menu)}>
            {t('app.menu')}
          </button>
        </div>
        <nav aria-label={t('app.menu')}>
          {rooms.map((one) => (
            <a
              key={one}
              href={hashOf(one)}
              aria-current={place.room === one ? 'page' : undefined}
              class={can(NEEDS[one]) ? '' : 'locked'}
              title={can(NEEDS[one]) ? undefined : t('app.needs', { scope: NEEDS[one], have: caller.scopes.join(', ') })}
            >
              {t(`room.${one}`)}
              <kbd aria-hidden="true">g {roomKeys[one]}</kbd>
            </a>
          ))}
        </nav>
        <div class="who">
          <Looks {...props} />
          <div class="caller">
            <strong>{caller.tenant}</strong>
            <span class="quiet">
              {t(`role.${roleOf(caller)}`)} · {caller.user ?? (caller.key === null ? t('app.thisHost') : `…${caller.key.slice(-6)}`)}
            </span>
            <span class="scopes quiet mono">{caller.scopes.join(' ')}</span>
            <span class="scopes quiet">{t('app.zone', { zone: zoneName(props.language, Date.now()) })}</span>
          </div>
          <div class="actions">
            <button type="button" class="plain" aria-label={t('app.shortcuts')} onClick={() => setHelp(true)}>
              <kbd>?</kbd>
            </button>
            <button type="button" class="plain" onClick={props.signOut}>
              {t('app.signOut')}
            </button>
          </div>
        </div>
      </aside>
      <main id="content" ref={content} tabIndex={-1}>
        {room()}
      </main>
      {help && (
        <Dialog title={t('app.shortcuts')} onClose={() => setHelp(false)}>
          <dl class="keys">
            {rooms.map((one) => (
              <div key={one}>
                <dt>
                  <kbd>g</kbd> <kbd>{roomKeys[one]}</kbd>
                </dt>
                <dd>{t('keys.go', { room: t(`room.${one}`) })}</dd>
              </div>
            ))}
            {(
              [
                ['/', 'keys.search'],
                ['t', 'keys.theme'],
                ['Esc', 'keys.close'],
                ['?', 'keys.help'],
              ] as const
            ).map(([key, text]) => (
              <div key={key}>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{t(text)}</dd>
              </div>
            ))}
          </dl>
        </Dialog>
      )}
    </div>
  );
}

/** Whether the system wants it dark; draws again when that changes. */
function useSystemDark(): boolean {
  const [dark, setDark] = useState(() => matchMedia('(prefers-color-scheme: dark)').matches);
  useEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const changed = () => setDark(query.matches);
    query.addEventListener('change', changed);
    return () => query.removeEventListener('change', changed);
  }, []);
  return dark;
}
