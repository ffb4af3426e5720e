import { useMemo, useState } from 'preact/hooks';
import { rowsOf, type ModelRow } from '../../api/model_list';
import type { ModelMetadata, ModelStatistics, RegisteredModel, RepositoryIndex } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import { useSlices } from '../../app/use_pages';
import { useParam } from '../../app/use_param';
import { DriftPanel } from '../../ui/drift_panel';
import { formatBytes, formatMs, formatNumber } from '../../ui/format';
import { Badge, Confirm, Empty, Failure, Listing, Loading, Page, Pager, Panel, ReadOnly, Search, Time } from '../../ui/parts';
import { RoutePanel } from '../../ui/route_panel';

const PAGE = 100;
const TONES = { READY: 'good', LOADING: 'busy', UNLOADING: 'busy', UNAVAILABLE: 'bad', UNKNOWN: 'quiet' } as const;

function pathOf(model: string): string {
  return `/v2/models/${encodeURIComponent(model)}`;
}

/** Whether it is a part of a pipeline: it has a slash in its name, which no address may have, and comes and goes with the whole. */
function isPart(model: string): boolean {
  return model.includes('/');
}

function Metadata(props: { model: string; ready: boolean }) {
  const t = useTexts();
  const { client } = useSession();
  const { data, problem } = useData(
    async (signal) => (props.ready && !isPart(props.model) ? client.get<ModelMetadata>(pathOf(props.model), signal) : null),
    [props.model, props.ready],
  );
  if (!props.ready || isPart(props.model)) return <Empty>{t('models.notReady')}</Empty>;
  if (problem !== null) return <Failure problem={problem} />;
  if (data === null) return <Loading />;
  const tensors = (list: ModelMetadata['inputs']) =>
    (list ?? []).map((tensor) => (
      <li key={tensor.name} class="mono">
        {tensor.name} <span class="quiet">{tensor.datatype}</span> [{tensor.shape.join(', ')}]
      </li>
    ));
  return (
    <dl class="facts">
      <dt>{t('models.platform')}</dt>
      <dd class="mono">{data.platform}</dd>
      <dt>{t('models.versions')}</dt>
      <dd class="mono">{(data.versions ?? []).join(', ')}</dd>
      <dt>{t('models.inputs')}</dt>
      <dd>
        <ul>{tensors(data.inputs)}</ul>
      </dd>
      <dt>{t('models.outputs')}</dt>
      <dd>
        <ul>{tensors(data.outputs)}</ul>
      </dd>
    </dl>
  );
}

/** The way to what the registry knows of it, if it does. */
function Registered(props: { model: string }) {
  const t = useTexts();
  const { client } = useSession();
  const { data } = useData((signal) => client.get<RegisteredModel>(`/v1/registry/models/${encodeURIComponent(props.model)}`, signal), [client, props.model]);
  return data === null ? null : <a href={hashOf('registry', props.model)}>{t('models.registered')}</a>;
}

export function ModelsRoom(props: { item: string }) {
  const t = useTexts();
  const { client, can, language } = useSession();
  const [wanted, setWanted] = useParam<string>('q', '');
  const [asking, setAsking] = useState<string | null>(null); // The model that may be unloaded.
  const list = useData(
    async () => {
      const index = await client.post<RepositoryIndex>('/v2/repository/index', {});
      const stats = can('observe') ? (await client.get<ModelStatistics>('/v2/models/stats')).model_stats : [];
      return rowsOf(index, stats);
    },
    [client],
    5000,
  );
  const { data, reload } = list;
  const { busy, failed, run } = useAction(reload);
  const rows = useMemo(() => {
    const found = wanted.trim().toLowerCase();
    return (data ?? []).filter((row) => row.model.toLowerCase().includes(found));
  }, [data, wanted]);

  const { shown, pages, more } = useSlices(rows, PAGE, [wanted]);
  const act = (model: string, what: 'load' | 'unload') => run(() => client.post(`/v2/repository/models/${encodeURIComponent(model)}/${what}`, {}));
  const actions = (row: ModelRow) => !isPart(row.model) && (
    <span class="actions">
      {row.state !== 'READY' && (
        <button type="button" class="small" disabled={busy} onClick={() => void act(row.model, 'load')}>
          {t('models.load')}
        </button>
      )}
      {row.state === 'READY' && (
        <button type="button" class="small" disabled={busy} onClick={() => setAsking(row.model)}>
          {t('models.unload')}
        </button>
      )}
    </span>
  );
  const columns = [
    { key: 'model', title: t('models.model'), cell: (row: ModelRow) => <span class="mono">{row.model}</span> },
    { key: 'version', title: t('models.version'), number: true, cell: (row: ModelRow) => row.version || t('app.none') },
    {
      key: 'state',
      title: t('models.state'),
      cell: (row: ModelRow) =>
        row.state === undefined ? (
          <Badge tone="quiet">{t('models.onDisk')}</Badge>
        ) : (
          <span title={row.reason}>
            <Badge tone={row.reason === 'unloaded' ? 'quiet' : TONES[row.state]}>{t(`state.${row.state}`)}</Badge>
            {row.reason !== '' && row.state === 'UNAVAILABLE' && <span class="quiet reason"> {row.reason}</span>}
          </span>
        ),
    },
    ...(can('observe')
      ? [
          { key: 'memory', title: t('models.memory'), number: true, wide: true, cell: (row: ModelRow) => (row.memory === null ? t('app.none') : formatBytes(row.memory, language)) },
          { key: 'count', title: t('models.inferences'), number: true, wide: true, cell: (row: ModelRow) => (row.inferences === null ? t('app.none') : formatNumber(row.inferences, language)) },
          { key: 'mean', title: t('models.meanRun'), number: true, wide: true, cell: (row: ModelRow) => formatMs(row.meanMs, language) },
          { key: 'used', title: t('models.lastUsed'), wide: true, cell: (row: ModelRow) => <Time at={row.lastUsed} /> },
        ]
      : []),
    ...(can('operate') ? [{ key: 'actions', title: t('models.actions'), cell: actions }] : []),
  ];
  const chosen = (data ?? []).filter((row) => row.model === props.item);
  return (
    <Page
      title={t('room.models')}
      actions={
        <>
          <ReadOnly />
          <Search value={wanted} onChange={setWanted} />
        </>
      }
    >
      {failed !== null && <Failure problem={failed} />}
      {chosen.length > 0 && (
        <Panel title={<span class="mono">{props.item}</span>} aside={
            <>
              {!isPart(props.item) && <Registered model={props.item} />} <a href={hashOf('models', '', { q: wanted })}>{t('app.close')}</a>
            </>
          }
        >
          <Metadata model={props.item} ready={chosen.some((row) => row.state === 'READY')} />
        </Panel>
      )}
      {chosen.length > 0 && can('observe') && !isPart(props.item) && <RoutePanel key={props.item} model={props.item} />}
      {chosen.length > 0 && can('observe') && !isPart(props.item) && <DriftPanel key={`drift ${props.item}`} model={props.item} />}
      {data !== null && props.item !== '' && chosen.length === 0 && <Empty>{t('models.unknown', { model: props.item })}</Empty>}
      <Listing
        of={list}
        rows={shown}
        empty={t(data?.length === 0 ? 'models.empty' : 'models.noMatch')}
        label={t('room.models')}
        columns={columns}
        rowKey={(row) => `${row.model} ${row.version}`}
        href={(row) => hashOf('models', row.model, { q: wanted })}
        pager={<Pager pages={pages} size={PAGE} shown={shown.length} of={rows.length} next={more ? 'next' : null} />}
      />
      {asking !== null && (
        <Confirm question={t('models.unloadAsk', { model: asking })} action={t('models.unload')} onYes={() => void act(asking, 'unload')} onClose={() => setAsking(null)} />
      )}
    </Page>
  );
}
