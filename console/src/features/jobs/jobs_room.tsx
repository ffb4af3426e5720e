import { useEffect, useState } from 'preact/hooks';
import { isActive } from '../../api/artifacts';
import { asProblem, type Problem } from '../../api/problem';
import type { Job, Jobs } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useData } from '../../app/use_data';
import { useEvents } from '../../app/use_events';
import { useJob } from '../../app/use_job';
import { formatSpan, formatTime, shortId } from '../../ui/format';
import { Files, JobProgress, Status, useKindName } from '../../ui/job_view';
import { Empty, Failure, Loading, Page, Panel, Table } from '../../ui/parts';

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
  const [status, setStatus] = useState<(typeof STATUSES)[number]>('');
  const [kind, setKind] = useState<(typeof KINDS)[number]>('');
  const [limit, setLimit] = useState(PAGE);
  const [live, setLive] = useState<ReadonlyMap<string, Job>>(new Map());
  const query = new URLSearchParams({ limit: String(limit), order: 'desc', ...(status && { status }), ...(kind && { kind }) });
  const { data, problem, reload } = useData((signal) => client.get<Jobs>(`/v1/jobs?${query}`, signal), [client, status, kind, limit], 3000);
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
    { key: 'progress', title: t('jobs.progress'), cell: (job: Job) => (job.error ? <span class="quiet reason">{job.error.message}</span> : <JobProgress job={job} />) },
    { key: 'tier', title: t('jobs.tier'), wide: true, cell: (job: Job) => t(`tier.${job.tier}`) },
    { key: 'created', title: t('jobs.created'), wide: true, cell: (job: Job) => formatTime(job.created_at, language) },
    { key: 'took', title: t('jobs.took'), number: true, cell: (job: Job) => formatSpan(job.started_at, job.finished_at, now, language) },
  ];
  return (
    <Page
      title={t('room.jobs')}
      actions={
        <>
          <select aria-label={t('jobs.status')} value={status} onChange={(event) => setStatus(event.currentTarget.value as typeof status)}>
            {STATUSES.map((one) => (
              <option key={one} value={one}>
                {one === '' ? `${t('jobs.status')}: ${t('app.all')}` : t(`status.${one}`)}
              </option>
            ))}
          </select>
          <select aria-label={t('jobs.kind')} value={kind} onChange={(event) => setKind(event.currentTarget.value as typeof kind)}>
            {KINDS.map((one) => (
              <option key={one} value={one}>
                {one === '' ? `${t('jobs.kind')}: ${t('app.all')}` : kindName(one)}
              </option>
            ))}
          </select>
        </>
      }
    >
      {problem !== null && (problem.status === 404 ? <Empty>{t('jobs.off')}</Empty> : <Failure problem={problem} retry={reload} />)}
      {followed.map((job) => (
        <Follow key={job.id} id={job.id} onJob={(newer) => setLive((map) => new Map(map).set(newer.id, newer))} />
      ))}
      {data === null && problem === null && <Loading />}
      {data !== null && jobs.length === 0 && <Empty>{t(status === '' && kind === '' ? 'jobs.empty' : 'jobs.noneLike')}</Empty>}
      {jobs.length > 0 && (
        <Panel>
          <Table label={t('room.jobs')} columns={columns} rows={jobs} rowKey={(job) => job.id} href={(job) => hashOf('jobs', job.id)} />
        </Panel>
      )}
      {data?.has_more && limit < 100 && (
        <button type="button" onClick={() => setLimit(100)}>
          {t('app.more')}
        </button>
      )}
    </Page>
  );
}

function JobPage(props: { id: string }) {
  const t = useTexts();
  const kindName = useKindName();
  const { client, can, language } = useSession();
  const { job, artifacts, problem, reload } = useJob(client, props.id);
  const [failed, setFailed] = useState<Problem | null>(null);
  const [now, setNow] = useState(Date.now);
  const active = job !== null && isActive(job);
  useEffect(() => {
    if (!active) return undefined;
    const timer = window.setInterval(() => setNow(Date.now()), 500);
    return () => window.clearInterval(timer);
  }, [active]);

  const act = async (what: 'cancel' | 'retry') => {
    setFailed(null);
    try {
      const answer = await client.post<Job>(`/v1/jobs/${encodeURIComponent(props.id)}/${what}`);
      if (what === 'retry') location.hash = hashOf('jobs', answer.id);
      else reload();
    } catch (thrown) {
      setFailed(asProblem(thrown));
    }
  };
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
              <button type="button" class="danger" disabled={job.cancel_requested} onClick={() => void act('cancel')}>
                {t('jobs.cancel')}
              </button>
            )}
            {(job.status === 'failed' || job.status === 'cancelled') && (
              <button type="button" class="primary" onClick={() => void act('retry')}>
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
            <dd>{formatTime(job.created_at, language)}</dd>
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
          <pre class="mono">{JSON.stringify(job.result, null, 2).slice(0, 20_000)}</pre>
        </Panel>
      )}
    </Page>
  );
}
