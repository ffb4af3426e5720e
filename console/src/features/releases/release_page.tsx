import { useEffect, useMemo, useState } from 'preact/hooks';
import { Problem } from '../../api/problem';
import type { Release, ReleaseEvents, ReleaseEvidence, ReleaseLook, RouteRevision } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import { useEvents } from '../../app/use_events';
import { formatMs, formatNumber, formatTime } from '../../ui/format';
import { Badge, Bar, Dialog, Empty, Failure, Loading, notHeld, Page, Panel, ReadOnly, Time } from '../../ui/parts';
import { Text } from '../../ui/scrolls';
import { partsOf, percentOf, spoken } from '../../ui/split';
import { SplitBar } from '../../ui/split_bar';
import { actionsOf, candidateOf, coursesOf, isEnded, isGuardrail, stepStates, storyOf, withLook, type Action } from './evidence';
import { EvidencePanel } from './evidence_panel';
import { ReleaseState } from './state_badge';

const ASK_MS = 3000;
const VERDICTS = { hold: 'busy', promote: 'good', roll_back: 'bad', pause: 'quiet' } as const;

/** What came of a command: how soon the server had done it, and what the route then said. */
interface Done {
  action: Action;
  took: number; // Milliseconds.
  route: RouteRevision | null;
}

export function ReleasePage(props: { id: string; look: string }) {
  const t = useTexts();
  const { client, can, language } = useSession();
  const path = `/v1/releases/${encodeURIComponent(props.id)}`;
  const [release, setRelease] = useState<Release | null>(null);
  const [looks, setLooks] = useState<readonly ReleaseLook[]>([]);
  const [asking, setAsking] = useState<Action | null>(null);
  const [done, setDone] = useState<Done | null>(null);

  const over = release !== null && isEnded(release);
  const past = useData((signal) => client.get<ReleaseEvidence>(`${path}/evidence?limit=1000`, signal), [client, path]);
  const events = useData((signal) => client.get<ReleaseEvents>(`${path}/events?limit=200`, signal), [client, path]);
  // After the evidence, so that nothing is drawn twice.
  const { connection } = useEvents(
    client,
    past.data === null ? null : `${path}/watch`,
    (event) => take(JSON.parse(event.data) as Release & { latest?: ReleaseLook | null }),
    (event) => isEnded(JSON.parse(event.data) as Release),
  );
  // What the stream tells; where there is none (too many watch, a proxy holds it back), it is asked for.
  const asked = useData((signal) => client.get<Release & { latest?: ReleaseLook | null }>(path, signal), [client, path], connection === 'open' || over ? 0 : ASK_MS);
  const take = (newer: Release & { latest?: ReleaseLook | null }) => {
    setRelease((now) => (now !== null && now.revision > newer.revision ? now : newer));
    if (newer.latest) setLooks((list) => withLook(list, newer.latest));
  };
  useEffect(() => {
    if (asked.data !== null) take(asked.data);
  }, [asked.data]);
  useEffect(() => {
    const found = past.data?.data ?? [];
    setLooks((list) => list.reduce(withLook, found as ReleaseLook[]));
  }, [past.data]);
  const moment = release === null ? '' : `${release.state} ${release.step} ${release.reason}`;
  const { reload } = events;
  useEffect(reload, [moment, reload]);
  const story = useMemo(() => storyOf(events.data?.data ?? [], looks), [events.data, looks]);
  const courses = useMemo(() => coursesOf(looks), [looks]);

  const { busy, failed, run } = useAction(reload);
  const act = (action: Action, body: object = {}) =>
    run(async () => {
      setDone(null);
      const began = performance.now();
      const after = await client.post<Release>(`${path}/${action}`, body);
      take(after);
      const took = performance.now() - began;
      setDone({ action, took, route: null });
      try {
        setDone({ action, took, route: await client.get<RouteRevision>(`/v1/routes/${encodeURIComponent(after.model)}`) });
      } catch (thrown) {
        if (!(thrown instanceof Problem) || thrown.reason !== 'route_unknown') throw thrown; // It had no route, and has none.
      }
    });

  if (release === null) {
    return (
      <Page title={t('room.releases')}>
        {asked.problem !== null ? <Failure problem={asked.problem} retry={asked.reload} /> : <Loading />}
      </Page>
    );
  }
  const candidate = candidateOf(release);
  const offered = can('operate') ? actionsOf(release) : [];
  const verdict = looks.at(-1)?.verdict;
  const values = { model: release.model, stable: release.spec.stable, candidate };
  const minor = offered.filter((one) => one !== 'roll_back');
  return (
    <Page
      title={
        <>
          <a href={hashOf('releases')}>{t('room.releases')}</a> /{' '}
          <a class="mono" href={hashOf('models', release.model)}>
            {release.model}
          </a>
        </>
      }
      actions={
        <>
          <ReleaseState release={release} />
          {connection === 'open' && !isEnded(release) && <Badge tone="good">{t('app.live')}</Badge>}
          {connection === 'lost' && <Badge tone="busy">{t('app.reconnecting')}</Badge>}
          <ReadOnly />
        </>
      }
    >
      {asked.problem !== null && <Failure problem={asked.problem} retry={asked.reload} since={asked.at} />}
      {past.problem !== null && <Failure problem={past.problem} retry={past.reload} />}
      {failed !== null && <Failure problem={failed} />}
      {done !== null && (
        <div class="outcome" role="status">
          <strong>{t(`done.${done.action}`, { ...values, took: formatMs(done.took, language) })}</strong>
          {done.route !== null && <span>{t('done.route', { revision: done.route.revision, split: spoken(partsOf(done.route.route), language) })}</span>}
        </div>
      )}
      <Panel
        title={t('releases.fromTo', { from: release.spec.stable, to: candidate })}
        aside={`${t(`strategy.${release.strategy}`)} · ${t('releases.sinceTime', { time: formatTime(release.since, language) })}`}
      >
        {release.split === null ? <Empty>{t('releases.untouched')}</Empty> : <SplitBar parts={release.split} label={t('route.split')} />}
        {release.strategy === 'canary' && <Steps release={release} calls={verdict?.step_calls ?? 0} />}
        <div class="release-foot">
          <div class="release-reason">
            <p>
              <strong>{t(`release.${release.state}`)}</strong> {release.reason}
            </p>
            {verdict !== undefined && !isEnded(release) && (
              <p>
                <Badge tone={VERDICTS[verdict.action]}>{t(`verdict.${verdict.action}`)}</Badge> {verdict.reason}
              </p>
            )}
            {release.route_pending && <p class="quiet">{t('releases.pending')}</p>}
          </div>
          {offered.length > 0 && (
            <div class="actions">
              {minor.map((action) => (
                <button key={action} type="button" disabled={busy} onClick={() => (action === 'promote' || action === 'cancel' ? setAsking(action) : void act(action))}>
                  {t(`action.${action}`)}
                </button>
              ))}
              {offered.includes('roll_back') && (
                <button type="button" class="big-danger" disabled={busy} aria-busy={busy} onClick={() => setAsking('roll_back')}>
                  {t('action.roll_back')}
                </button>
              )}
            </div>
          )}
        </div>
      </Panel>
      {courses.length === 0 ? (
        <Panel title={t('evidence.title')}>
          <Empty>{t('evidence.none')}</Empty>
        </Panel>
      ) : (
        [courses.filter((one) => !isGuardrail(one.metric)), courses.filter((one) => isGuardrail(one.metric))].map(
          (group, at) =>
            group.length > 0 && (
              <section key={at} aria-label={t(at === 0 ? 'evidence.title' : 'evidence.guardrails')}>
                <h2 class="section">{t(at === 0 ? 'evidence.title' : 'evidence.guardrails')}</h2>
                <div class="charts">
                  {group.map((course) => (
                    <EvidencePanel key={course.metric} course={course} look={props.look} />
                  ))}
                </div>
              </section>
            ),
        )
      )}
      <div class="split even">
        <Panel title={t('releases.timeline')}>
          <ol class="timeline">
            {story.map((moment, at) => (
              <li key={at} class={moment.verdict === null ? '' : 'told'}>
                <span class="quiet">
                  <Time at={moment.at} />
                </span>
                {moment.verdict === null ? <strong>{moment.kind}</strong> : <Badge tone={VERDICTS[moment.verdict]}>{t(`verdict.${moment.verdict}`)}</Badge>}
                <span class="quiet">{moment.who}</span>
                <p>{moment.text}</p>
              </li>
            ))}
          </ol>
          {events.problem !== null && <Failure problem={events.problem} retry={events.reload} />}
        </Panel>
        <Panel title={t('releases.declared')}>
          <Text label={t('releases.declared')}>{JSON.stringify(release.spec, null, 2)}</Text>
        </Panel>
      </div>
      {asking !== null && (
        <Ask
          title={t(`action.${asking}`)}
          danger={asking !== 'promote'}
          arms={asking === 'promote' && release.strategy === 'ab' ? (release.spec.arms ?? []).map((arm) => arm.name) : []}
          onYes={(arm) => {
            setAsking(null);
            void act(asking, arm === '' ? {} : { arm });
          }}
          onClose={() => setAsking(null)}
        >
          {t(asking === 'roll_back' && release.strategy === 'shadow' ? 'ask.roll_back_shadow' : `ask.${asking}`, values)}
        </Ask>
      )}
    </Page>
  );
}

/** Says what will happen; the button that does it has the focus, so that Enter is enough. */
function Ask(props: { title: string; danger: boolean; arms: readonly string[]; onYes: (arm: string) => void; onClose: () => void; children: string }) {
  const t = useTexts();
  const [arm, setArm] = useState(props.arms[0] ?? '');
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <p>{props.children}</p>
      {props.arms.length > 0 && (
        <label class="field">
          <span>{t('releases.winner')}</span>
          <select value={arm} onChange={(event) => setArm(event.currentTarget.value)}>
            {props.arms.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
        </label>
      )}
      <div class="actions">
        <button type="button" onClick={props.onClose}>
          {t('app.close')}
        </button>
        <button autofocus type="button" class={props.danger ? 'big-danger' : 'primary'} onKeyDown={notHeld} onClick={() => props.onYes(arm)}>
          {t('ask.yes', { action: props.title })}
        </button>
      </div>
    </Dialog>
  );
}

function Steps(props: { release: Release; calls: number }) {
  const t = useTexts();
  const { language } = useSession();
  const states = stepStates(props.release);
  return (
    <ol class="steps" aria-label={t('releases.steps')}>
      {props.release.spec.steps.map((step, at) => (
        <li key={at} class={states[at]} aria-current={states[at] === 'now' ? 'step' : undefined}>
          <strong>{percentOf(step.weight ?? 0, language)}</strong>
          <span class="quiet">{t('releases.stepNeeds', { time: formatMs(1000 * (step.min_duration_s ?? 0), language), calls: formatNumber(step.min_calls ?? 0, language) })}</span>
          {states[at] === 'now' && <Bar share={props.calls / Math.max(1, step.min_calls ?? 1)} label={t('releases.stepCalls', { calls: formatNumber(props.calls, language) })} />}
        </li>
      ))}
    </ol>
  );
}
