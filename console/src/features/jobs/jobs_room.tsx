import { useEffect, useState } from 'preact/hooks';
import { isActive } from '../../api/artifacts';
import type { Job, Jobs } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import { useEvents } from '../../app/use_events';
import { useJob } from '../../app/use_job';
import { usePages } from '../../app/use_pages';
import { useParam } from '../../app/use_param';
import { formatSpan, shortId } from '../../ui/format';
import { Files, JobProgress, Status, useKindName } from '../../ui/job_view';
import { Empty, Failure, Listing, Loading, Page, Pager, Panel, Select, Time } from '../../ui/parts';
import { Text } from '../../ui/scrolls';

const STATUSES = ['', 'scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled'] as const;
const KINDS = ['', 'image', 'storyboard', 'inference'] as const;
const PAGE = 50;
// A browser opens six connections to a server: these and the rest must fit.
const STREAMS = 2;

export function JobsRoom(props: { item: string }) {
  return props.item === '' ? <JobList /> : <JobPage id={props.item} key={props.item} />;
}

/** Tells of one job's changes; shows nothing. */
function Follow(props: { id: string; onJob: (job: Job) => void }) {
  const { client } = useSession();
  useEvents(
    client,
    `/v1/jobs/${encodeURIComponent(props.id)}/events`,
    (event) => props.onJob(JSON.parse(event.data) as Job),
    (event) => !isActive(JSON.parse(event.data) as Job),
  );
  return null;
}

function JobList() {
  const t = useTexts();
  const kindName = useKindName();
  const { client, language } = useSession();
  const [status, setStatus] = useParam<(typeof STATUSES)[number]>('status', '', STATUSES);
  const [kind, setKind] = useParam<(typeof KINDS)[number]>('kind', '', KINDS);
  const pages = usePages([status, kind]);
  const [live, setLive] = useState<ReadonlyMap<string, Job>>(new Map());
  const query = new URLSearchParams({ limit: String(PAGE), order: 'desc', ...(status && { status }), ...(kind && { kind }), ...(pages.cursor && { after: pages.cursor }) });
  const list = useData((signal) => client.get<Jobs>(`/v1/jobs?${query}`, signal), [client, status, kind, pages.cursor], 3000);
  const { data } = list;
  const jobs = (data?.data ?? []).map((job) => {
    const newer = live.get(job.id);
    return newer !== undefined && newer.version > job.version ? newer : job;
  });
  const followed = jobs.filter((job) => job.status === 'running').slice(0, STREAMS);
  const now = Date.now();
  const columns = [
    { key: 'id', title: t('jobs.id'), cell: (job: Job) => <span class="mono">{shortId(job.id)}</span> },
    { key: 'kind', title: t('jobs.kind'), cell: (job: Job) => kindName(job.kind) },
    { key: 'model', title: t('jobs.model'), wide: true, cell: (job: Job) => <span class="mono">{job.model || t('app.none')}</span> },
    { key: 'status', title: t('jobs.status'), cell: (job: Job) => <Status job={job} /> },
    { key: 'progress', title: t('jobs.progress'), cell: (job: Job) => (job.error ? <span class="quiet reason" title={job.error.message}>{job.error.message}</span> : <JobProgress job={job} />) },
    { key: 'tier', title: t('jobs.tier'), wide: true, cell: (job: Job) => t(`tier.${job.tier}`) },
    { key: 'created', title: t('jobs.created'), wide: true, cell: (job: Job) => <Time at={job.created_at} /> },
    { key: 'took', title: t('jobs.took'), number: true, cell: (job: Job) => formatSpan(job.started_at, job.finished_at, now, language) },
  ];
  return (
    <Page
      title={t('room.jobs')}
      actions={
        <>
          <Select
            label={t('jobs.status')}
            value={status}
            options={STATUSES.map((one) => [one, one === '' ? `${t('jobs.status')}: ${t('app.all')}` : t(`status.${one}`)] as const)}
            onChange={setStatus}
          />
          <Select label={t('jobs.kind')} value={kind} options={KINDS.map((one) => [one, one === '' ? `${t('jobs.kind')}: ${t('app.all')}` : kindName(one)] as const)} onChange={setKind} />
        </>
      }
    >
      {followed.map((job) => (
        <Follow key={job.id} id={job.id} onJob={(newer) => setLive((map) => new Map(map).set(newer.id, newer))} />
      ))}
      <Listing
        of={list}
        off={t('jobs.off')}
        rows={jobs}
        empty={t(status === '' && kind === '' ? 'jobs.empty' : 'jobs.noneLike')}
        label={t('room.jobs')}
        columns={columns}
        rowKey={(job) => job.id}
        href={(job) => hashOf('jobs', job.id)}
        pager={<Pager pages={pages} size={PAGE} shown={jobs.length} next={data?.has_more ? (data.last_id ?? null) : null} />}
      />
    </Page>
  );
}

function JobPage(props: { id: string }) {
  const t = useTexts();
  const kindName = useKindName();
  const { client, can, language } = useSession();
  const { job, artifacts, problem, reload } = useJob(client, props.id);
  const { busy, failed, run } = useAction();
  const [now, setNow] = useState(Date.now);
  const active = job !== null && isActive(job);
  useEffect(() => {
    if (!active) return undefined;
    const timer = window.setInterval(() => setNow(Date.now()), 500);
    return () => window.clearInterval(timer);
  }, [active]);

  const act = (what: 'cancel' | 'retry') =>
    run(async () => {
      const answer = await client.post<Job>(`/v1/jobs/${encodeURIComponent(props.id)}/${what}`);
      if (what === 'retry') location.hash = hashOf('jobs', answer.id);
      else reload();
    });
  const title = (
    <>
      <a href={hashOf('jobs')}>{t('room.jobs')}</a> <span class="quiet">/</span> <span class="mono">{shortId(props.id)}</span>
    </>
  );
  if (job === null) {
    return <Page title={title}>{problem === null ? <Loading /> : <Failure problem={problem} retry={reload} />}</Page>;
  }
  return (
    <Page
      title={title}
      actions={
        can('infer') && (
          <>
            {active && (
              <button type="button" class="danger" disabled={busy || job.cancel_requested} aria-busy={busy} onClick={() => void act('cancel')}>
                {t('jobs.cancel')}
              </button>
            )}
            {(job.status === 'failed' || job.status === 'cancelled') && (
              <button type="button" class="primary" disabled={busy} aria-busy={busy} onClick={() => void act('retry')}>
                {t('jobs.retry')}
              </button>
            )}
          </>
        )
      }
    >
      {failed !== null && <Failure problem={failed} />}
      {job.error && (
        <div class="failure" role="alert">
          {t('jobs.error', { message: job.error.message })} <span class="quiet mono">{job.error.code}</span>
        </div>
      )}
      <div class="split">
        <Panel title={kindName(job.kind)} aside={<Status job={job} />}>
          <JobProgress job={job} />
          <dl class="facts">
            <dt>{t('jobs.id')}</dt>
            <dd class="mono">{job.id}</dd>
            <dt>{t('jobs.model')}</dt>
            <dd class="mono">{job.model || t('app.none')}</dd>
            <dt>{t('jobs.tier')}</dt>
            <dd>{t(`tier.${job.tier}`)}</dd>
            <dt>{t('jobs.created')}</dt>
            <dd>
              <Time at={job.created_at} />
            </dd>
            <dt>{t('jobs.took')}</dt>
            <dd>{formatSpan(job.started_at, job.finished_at, now, language)}</dd>
            <dt>{t('jobs.attempt')}</dt>
            <dd>{job.attempt}</dd>
          </dl>
        </Panel>
        <Panel title={t('jobs.artifacts')}>{artifacts.length === 0 ? <Empty>{t('jobs.noFiles')}</Empty> : <Files artifacts={artifacts} />}</Panel>
      </div>
      {job.result !== undefined && job.result !== null && (
        <Panel title={t('jobs.result')}>
          <Text label={t('jobs.result')}>{JSON.stringify(job.result, null, 2).slice(0, 20_000)}</Text>
        </Panel>
      )}
    </Page>
  );
}
