import { useState } from 'preact/hooks';
import { asProblem, type Problem } from '../../api/problem';
import type { Pipeline, PipelineRun, PipelineRuns, Pipelines, PipelineState } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useData } from '../../app/use_data';
import { formatSpan, formatTime, shortId } from '../../ui/format';
import { Badge, Choice, Empty, Failure, Loading, Page, Panel, Table } from '../../ui/parts';
import { RunPage } from './run_page';

const RUNS = 100;
const PIPELINES = 1000;
const TONES = { queued: 'quiet', running: 'busy', waiting: 'busy', succeeded: 'good', failed: 'bad', cancelled: 'quiet' } as const;

/** Its items: none, `p/NAME`, `run/ID`. */
export function PipelinesRoom(props: { item: string }) {
  const at = props.item.indexOf('/');
  const rest = props.item.slice(at + 1);
  if (props.item.startsWith('p/')) return <PipelinePage key={rest} name={rest} />;
  if (props.item.startsWith('run/')) return <RunPage key={rest} id={rest} />;
  return <PipelineLists />;
}

export function RunStateBadge(props: { state: PipelineState }) {
  const t = useTexts();
  return <Badge tone={TONES[props.state]}>{t(`run.${props.state}`)}</Badge>;
}

function Stages(props: { stages: Pipeline['stages'] }) {
  return <span class="mono">{props.stages.map((stage) => stage.name).join(' → ')}</span>;
}

function RunTable(props: { runs: readonly PipelineRun[]; withName: boolean }) {
  const t = useTexts();
  const { language } = useSession();
  const now = Date.now();
  const columns = [
    { key: 'id', title: t('pipelines.run'), cell: (row: PipelineRun) => <span class="mono">{shortId(row.id)}</span> },
    ...(props.withName ? [{ key: 'name', title: t('pipelines.name'), cell: (row: PipelineRun) => <span class="mono">{row.pipeline}</span> }] : []),
    { key: 'state', title: t('models.state'), cell: (row: PipelineRun) => <RunStateBadge state={row.state} /> },
    { key: 'why', title: t('releases.reason'), wide: true, cell: (row: PipelineRun) => <span class="quiet reason">{row.message}</span> },
    { key: 'trigger', title: t('pipelines.trigger'), wide: true, cell: (row: PipelineRun) => `${row.trigger.kind} · ${row.trigger.who}` },
    { key: 'started', title: t('pipelines.started'), wide: true, cell: (row: PipelineRun) => formatTime(row.started_at ?? row.created_at, language) },
    { key: 'took', title: t('pipelines.took'), number: true, cell: (row: PipelineRun) => formatSpan(row.started_at, row.ended_at, now, language) },
  ];
  return <Table label={t('pipelines.runs')} columns={columns} rows={props.runs} rowKey={(row) => row.id} href={(row) => hashOf('pipelines', `run/${row.id}`)} />;
}

function PipelineLists() {
  const t = useTexts();
  const { client, can, language } = useSession();
  const [what, setWhat] = useState<'list' | 'runs'>('list');
  const [wanted, setWanted] = useState('');
  const list = useData((signal) => client.get<Pipelines>(`/v1/pipelines?limit=${PIPELINES}`, signal), [client], 3000);
  const runs = useData(async (signal) => (what === 'runs' ? client.get<PipelineRuns>(`/v1/pipeline-runs?limit=${RUNS}`, signal) : null), [client, what], 2000);
  const { problem, reload } = what === 'list' ? list : runs;
  const like = wanted.trim().toLowerCase();
  const rows = (list.data?.data ?? []).filter((row) => row.name.toLowerCase().includes(like) || (row.model ?? '').toLowerCase().includes(like));
  const found = (runs.data?.data ?? []).filter((row) => row.pipeline.toLowerCase().includes(like));
  const columns = [
    { key: 'name', title: t('pipelines.name'), cell: (row: Pipeline) => <span class="mono">{row.name}</span> },
    { key: 'model', title: t('models.model'), cell: (row: Pipeline) => (row.kind === 'template' ? <Badge tone="quiet">{t('pipelines.template')}</Badge> : <span class="mono">{row.model}</span>) },
    { key: 'stages', title: t('pipelines.stages'), wide: true, cell: (row: Pipeline) => <Stages stages={row.stages} /> },
    { key: 'begins', title: t('pipelines.begins'), wide: true, cell: (row: Pipeline) => row.triggers.map((trigger) => `${trigger.kind} ${trigger.text}`.trim()).join(', ') || t('pipelines.byHand') },
    {
      key: 'latest',
      title: t('pipelines.latest'),
      cell: (row: Pipeline) =>
        row.latest_run === null ? (
          t('app.none')
        ) : (
          <>
            <RunStateBadge state={row.latest_run.state} /> <span class="quiet">{formatTime(row.latest_run.created_at, language)}</span>
          </>
        ),
    },
  ];
  const off = problem !== null && problem.reason === 'unknown_url';
  return (
    <Page
      title={t('room.pipelines')}
      actions={
        <>
          {!can('operate') && <Badge tone="quiet">{t('app.readOnly')}</Badge>}
          <Choice
            label={t('releases.which')}
            value={what}
            options={[
              ['list', t('pipelines.list')],
              ['runs', t('pipelines.runs')],
            ]}
            onChange={setWhat}
          />
          <input type="search" placeholder={`${t('app.search')}  /`} aria-label={t('app.search')} value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />
        </>
      }
    >
      {off ? <Empty>{t('pipelines.off')}</Empty> : problem !== null && <Failure problem={problem} retry={reload} />}
      {what === 'list' && list.data === null && problem === null && <Loading />}
      {what === 'list' && list.data !== null && rows.length === 0 && <Empty>{t(list.data.data.length === 0 ? 'pipelines.empty' : 'models.noMatch')}</Empty>}
      {what === 'list' && rows.length > 0 && (
        <Panel>
          <Table label={t('room.pipelines')} columns={columns} rows={rows} rowKey={(row) => row.name} href={(row) => hashOf('pipelines', `p/${row.name}`)} />
        </Panel>
      )}
      {what === 'runs' && runs.data !== null && found.length === 0 && <Empty>{t('pipelines.noRuns')}</Empty>}
      {what === 'runs' && found.length > 0 && (
        <Panel>
          <RunTable runs={found} withName />
        </Panel>
      )}
    </Page>
  );
}

function PipelinePage(props: { name: string }) {
  const t = useTexts();
  const { client, can, language } = useSession();
  const [failed, setFailed] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const path = `/v1/pipelines/${encodeURIComponent(props.name)}`;
  const { data, problem, reload } = useData(
    async (signal) => {
      const [pipeline, runs] = await Promise.all([client.get<Pipeline>(path, signal), client.get<PipelineRuns>(`${path}/runs?limit=${RUNS}`, signal)]);
      return { pipeline, runs: runs.data };
    },
    [client, path],
    2000,
  );
  const begin = async () => {
    setBusy(true);
    setFailed(null);
    try {
      const run = await client.post<PipelineRun>(`${path}/runs`, {});
      location.hash = hashOf('pipelines', `run/${run.id}`);
      return;
    } catch (thrown) {
      setFailed(asProblem(thrown));
    }
    setBusy(false);
  };
  const title = (
    <>
      <a href={hashOf('pipelines')}>{t('room.pipelines')}</a> / <span class="mono">{props.name}</span>
    </>
  );
  if (data === null) return <Page title={title}>{problem === null ? <Loading /> : <Failure problem={problem} retry={reload} />}</Page>;
  const { pipeline, runs } = data;
  return (
    <Page
      title={title}
      actions={
        <>
          {pipeline.kind === 'template' && <Badge tone="quiet">{t('pipelines.template')}</Badge>}
          {can('operate') && pipeline.kind === 'pipeline' && (
            <button type="button" class="primary" disabled={busy} onClick={() => void begin()}>
              {t('pipelines.runNow')}
            </button>
          )}
        </>
      }
    >
      {failed !== null && <Failure problem={failed} />}
      {problem !== null && <Failure problem={problem} retry={reload} />}
      <Panel title={t('pipelines.stages')} aside={pipeline.template === null ? undefined : <a href={hashOf('pipelines', `p/${pipeline.template}`)}>{t('pipelines.ofTemplate', { template: pipeline.template })}</a>}>
        {pipeline.description !== '' && <p>{pipeline.description}</p>}
        <ol class="flow" aria-label={t('pipelines.stages')}>
          {pipeline.stages.map((stage) => (
            <li key={stage.name}>
              <strong class="mono">{stage.name}</strong>
              <span class="quiet">{t(`stageKind.${stage.kind}`)}</span>
            </li>
          ))}
        </ol>
        <ul>
          {pipeline.triggers.map((trigger, at) => (
            <li key={at}>
              <span class="mono">
                {trigger.kind} {trigger.text}
              </span>{' '}
              {trigger.next_at !== null && <span class="quiet">{t('pipelines.next', { time: formatTime(trigger.next_at, language) })}</span>}
            </li>
          ))}
        </ul>
      </Panel>
      <Panel title={t('pipelines.runs')}>{runs.length === 0 ? <Empty>{t('pipelines.noRuns')}</Empty> : <RunTable runs={runs} withName={false} />}</Panel>
      <Panel title={t('pipelines.text', { revision: pipeline.revision })} aside={`${pipeline.updated_by} · ${formatTime(pipeline.updated_at, language)}`}>
        <pre class="mono">{pipeline.text}</pre>
      </Panel>
    </Page>
  );
}
