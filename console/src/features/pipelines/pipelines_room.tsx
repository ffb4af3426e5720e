import type { Pipeline, PipelineRun, PipelineRuns, Pipelines, PipelineState } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import { usePages, useSlices } from '../../app/use_pages';
import { useParam } from '../../app/use_param';
import { formatSpan, formatTime, shortId } from '../../ui/format';
import { Badge, Choice, Empty, Failure, Listing, Loading, Page, Pager, Panel, ReadOnly, Search, Table, Time, type Column } from '../../ui/parts';
import { Text } from '../../ui/scrolls';
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

function useRunColumns(withName: boolean): Column<PipelineRun>[] {
  const t = useTexts();
  const { language } = useSession();
  const now = Date.now();
  return [
    { key: 'id', title: t('pipelines.run'), cell: (row) => <span class="mono">{shortId(row.id)}</span> },
    ...(withName ? [{ key: 'name', title: t('pipelines.name'), cell: (row: PipelineRun) => <span class="mono">{row.pipeline}</span> }] : []),
    { key: 'state', title: t('models.state'), cell: (row) => <RunStateBadge state={row.state} /> },
    { key: 'why', title: t('releases.reason'), wide: true, cell: (row) => <span class="quiet reason" title={row.message}>{row.message}</span> },
    { key: 'trigger', title: t('pipelines.trigger'), wide: true, cell: (row) => `${row.trigger.kind} · ${row.trigger.who}` },
    { key: 'started', title: t('pipelines.started'), wide: true, cell: (row) => <Time at={row.started_at ?? row.created_at} /> },
    { key: 'took', title: t('pipelines.took'), number: true, cell: (row) => formatSpan(row.started_at, row.ended_at, now, language) },
  ];
}

const runAddress = (row: PipelineRun) => hashOf('pipelines', `run/${row.id}`);

function PipelineLists() {
  const t = useTexts();
  const { client } = useSession();
  const [what, setWhat] = useParam<'list' | 'runs'>('show', 'list', ['list', 'runs']);
  const [wanted, setWanted] = useParam<string>('q', '');
  const like = wanted.trim().toLowerCase();
  const list = useData(async (signal) => (what === 'list' ? client.get<Pipelines>(`/v1/pipelines?limit=${PIPELINES}`, signal) : null), [client, what], 3000);
  const rows = (list.data?.data ?? []).filter((row) => row.name.toLowerCase().includes(like) || (row.model ?? '').toLowerCase().includes(like));
  const { shown, pages, more } = useSlices(rows, RUNS, [like]);
  const runPages = usePages([what]);
  const before = runPages.cursor === '' ? '' : `&before=${encodeURIComponent(runPages.cursor)}`;
  const runs = useData(async (signal) => (what === 'runs' ? client.get<PipelineRuns>(`/v1/pipeline-runs?limit=${RUNS}${before}`, signal) : null), [client, what, before], 2000);
  const found = (runs.data?.data ?? []).filter((row) => row.pipeline.toLowerCase().includes(like));
  const runColumns = useRunColumns(true);
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
            <RunStateBadge state={row.latest_run.state} />{' '}
            <span class="quiet">
              <Time at={row.latest_run.created_at} />
            </span>
          </>
        ),
    },
  ];
  return (
    <Page
      title={t('room.pipelines')}
      actions={
        <>
          <ReadOnly />
          <Choice
            label={t('releases.which')}
            value={what}
            options={[
              ['list', t('pipelines.list')],
              ['runs', t('pipelines.runs')],
            ]}
            onChange={setWhat}
          />
          <Search value={wanted} onChange={setWanted} />
        </>
      }
    >
      {what === 'list' ? (
        <Listing
          of={list}
          off={t('pipelines.off')}
          rows={shown}
          empty={t(list.data?.data.length === 0 ? 'pipelines.empty' : 'models.noMatch')}
          label={t('room.pipelines')}
          columns={columns}
          rowKey={(row) => row.name}
          href={(row) => hashOf('pipelines', `p/${row.name}`)}
          pager={<Pager pages={pages} size={RUNS} shown={shown.length} of={rows.length} next={more ? 'next' : null} />}
        />
      ) : (
        <Listing
          of={runs}
          off={t('pipelines.off')}
          rows={found}
          empty={t('pipelines.noRuns')}
          label={t('pipelines.runs')}
          columns={runColumns}
          rowKey={(row) => row.id}
          href={runAddress}
          pager={<Pager pages={runPages} size={RUNS} shown={found.length} next={runs.data?.has_more ? runs.data.last_id : null} />}
        />
      )}
    </Page>
  );
}

function PipelinePage(props: { name: string }) {
  const t = useTexts();
  const { client, can, language } = useSession();
  const path = `/v1/pipelines/${encodeURIComponent(props.name)}`;
  const { data, problem, at, reload } = useData(
    async (signal) => {
      const [pipeline, runs] = await Promise.all([client.get<Pipeline>(path, signal), client.get<PipelineRuns>(`${path}/runs?limit=${RUNS}`, signal)]);
      return { pipeline, runs: runs.data };
    },
    [client, path],
    2000,
  );
  const { busy, failed, run } = useAction();
  const runColumns = useRunColumns(false);
  const begin = () =>
    run(async () => {
      const made = await client.post<PipelineRun>(`${path}/runs`, {});
      location.hash = hashOf('pipelines', `run/${made.id}`);
    });
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
            <button type="button" class="primary" disabled={busy} aria-busy={busy} onClick={() => void begin()}>
              {t('pipelines.runNow')}
            </button>
          )}
        </>
      }
    >
      {failed !== null && <Failure problem={failed} />}
      {problem !== null && <Failure problem={problem} retry={reload} since={at} />}
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
      <Panel title={t('pipelines.runs')}>{runs.length === 0 ? <Empty>{t('pipelines.noRuns')}</Empty> : <Table label={t('pipelines.runs')} columns={runColumns} rows={runs} rowKey={(row) => row.id} href={runAddress} />}</Panel>
      <Panel title={t('pipelines.text', { revision: pipeline.revision })} aside={
          <>
            {pipeline.updated_by} · <Time at={pipeline.updated_at} />
          </>
        }
      >
        <Text label={t('pipelines.text', { revision: pipeline.revision })}>{pipeline.text}</Text>
      </Panel>
    </Page>
  );
}
