import { useState } from 'preact/hooks';
import type { RegisteredModel, RegisteredVersion, RegisteredVersions, RegistryEvent, RegistryEvents, RegistryServed } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import { usePages } from '../../app/use_pages';
import { formatBytes, formatNumber } from '../../ui/format';
import { Badge, Confirm, Empty, Failure, Field, Loading, Page, Pager, Panel, ReadOnly, Table, Time } from '../../ui/parts';
import { RoutePanel } from '../../ui/route_panel';
import { Tags, VersionState } from './tags';
import { ServedTimeline } from './timeline';

const VERSIONS = 100;
const EVENTS = 1000;

export function RegistryModelPage(props: { model: string }) {
  const t = useTexts();
  const { client, can, language } = useSession();
  const [removing, setRemoving] = useState<string | null>(null); // An alias.
  const [alias, setAlias] = useState('');
  const [target, setTarget] = useState('');
  const path = `/v1/registry/models/${encodeURIComponent(props.model)}`;
  const pages = usePages([props.model]);
  const after = pages.cursor === '' ? '' : `&after=${encodeURIComponent(pages.cursor)}`;
  const { data, problem, at, reload } = useData(
    async (signal) => {
      const [model, versions, served] = await Promise.all([
        client.get<RegisteredModel>(path, signal),
        client.get<RegisteredVersions>(`${path}/versions?limit=${VERSIONS}${after}`, signal),
        can('observe') ? client.get<RegistryServed>('/v1/registry/served', signal) : { data: [] },
      ]);
      const here = new Map(served.data.filter((one) => one.model === props.model).map((one) => [one.version, one.ready]));
      return { model, versions: versions.data, next: versions.next, here };
    },
    [client, props.model, after],
    3000,
  );
  // Long, and seldom another: asked for less often, and after what is done here.
  const history = useData(
    async (signal) => ({ events: (await client.get<RegistryEvents>(`${path}/history?limit=${EVENTS}`, signal)).data, at: Date.now() }),
    [client, props.model],
    15_000,
  );
  const { busy, failed, run: attempt } = useAction(() => {
    reload();
    history.reload();
  });
  const title = (
    <>
      <a href={hashOf('registry')}>{t('room.registry')}</a> / <span class="mono">{props.model}</span>
    </>
  );
  if (data === null) return <Page title={title}>{problem === null ? <Loading /> : <Failure problem={problem} retry={reload} />}</Page>;
  const { model, versions, here, next } = data;
  const events = history.data?.events ?? [];
  const ready = versions.filter((one) => one.state === 'ready');
  const columns = [
    { key: 'version', title: t('models.version'), cell: (row: RegisteredVersion) => <span class="mono">{row.version}</span> },
    {
      key: 'state',
      title: t('models.state'),
      cell: (row: RegisteredVersion) => (
        <>
          <VersionState version={row} /> {here.has(row.version) && <Badge tone={here.get(row.version) ? 'good' : 'busy'}>{t('registry.here')}</Badge>}
          {row.reason !== null && <span class="quiet reason" title={row.reason}> {row.reason}</span>}
        </>
      ),
    },
    { key: 'aliases', title: t('registry.aliases'), cell: (row: RegisteredVersion) => <Tags tags={Object.fromEntries(row.aliases.map((name) => [name, '']))} /> },
    { key: 'tags', title: t('registry.tags'), wide: true, cell: (row: RegisteredVersion) => <Tags tags={row.tags} /> },
    { key: 'bytes', title: t('cache.bytes'), number: true, wide: true, cell: (row: RegisteredVersion) => formatBytes(row.bytes, language) },
    { key: 'created', title: t('registry.created'), wide: true, cell: (row: RegisteredVersion) => <Time at={row.created_at} /> },
    { key: 'by', title: t('route.by'), wide: true, cell: (row: RegisteredVersion) => row.created_by },
    ...(can('operate')
      ? [
          {
            key: 'actions',
            title: t('models.actions'),
            cell: (row: RegisteredVersion) =>
              row.state === 'ready' && (
                <span class="actions">
                  <button type="button" class="small" disabled={busy} onClick={() => void attempt(() => client.post(`${path}/versions/${row.version}/${here.has(row.version) ? 'unload' : 'load'}`))}>
                    {t(here.has(row.version) ? 'models.unload' : 'models.load')}
                  </button>
                  <a class="button small" href={hashOf('releases', `new/${props.model}/${row.version}`)}>
                    {t('registry.release')}
                  </a>
                </span>
              ),
          },
        ]
      : []),
  ];
  const historyColumns = [
    { key: 'at', title: t('route.at'), cell: (row: RegistryEvent) => <Time at={row.at} /> },
    { key: 'kind', title: t('registry.what'), cell: (row: RegistryEvent) => <span class="mono">{row.kind}</span> },
    { key: 'version', title: t('models.version'), number: true, cell: (row: RegistryEvent) => row.version ?? t('app.none') },
    { key: 'change', title: t('registry.change'), cell: (row: RegistryEvent) => <span class="mono">{[row.field, [row.before, row.after].filter(Boolean).join(' → ')].filter(Boolean).join(': ') || t('app.none')}</span> },
    { key: 'by', title: t('route.by'), wide: true, cell: (row: RegistryEvent) => row.by },
  ];
  return (
    <Page title={title} actions={<ReadOnly />}>
      {failed !== null && <Failure problem={failed} />}
      {problem !== null && <Failure problem={problem} retry={reload} since={at} />}
      <div class="split even">
        <Panel title={t('registry.about')}>
          {model.description !== '' && <p>{model.description}</p>}
          <dl class="facts">
            <dt>{t('registry.latest')}</dt>
            <dd class="mono">{model.latest ?? t('app.none')}</dd>
            <dt>{t('registry.tags')}</dt>
            <dd>
              <Tags tags={model.tags} />
            </dd>
            <dt>{t('registry.tenant')}</dt>
            <dd>{model.tenant ?? t('limits.everyone')}</dd>
            <dt>{t('registry.created')}</dt>
            <dd>
              <Time at={model.created_at} /> · {model.created_by}
            </dd>
          </dl>
        </Panel>
        <Panel title={t('registry.aliases')}>
          {Object.keys(model.aliases).length === 0 && <Empty>{t('registry.noAliases')}</Empty>}
          <ul class="aliases">
            {Object.entries(model.aliases).map(([name, version]) => (
              <li key={name}>
                <span class="mono">{name}</span> → <a href={hashOf('registry', `${props.model}/${version}`)}>{version}</a>
                {can('operate') && (
                  <button type="button" class="plain small" aria-label={t('registry.removeAlias', { alias: name })} disabled={busy} onClick={() => setRemoving(name)}>
                    ×
                  </button>
                )}
              </li>
            ))}
          </ul>
          {can('operate') && ready.length > 0 && (
            <form
              class="row aligned"
              onSubmit={(event) => {
                event.preventDefault();
                const version = Number(target || ready[0]?.version);
                void attempt(() => client.put(`${path}/aliases/${encodeURIComponent(alias.trim())}`, { version }));
              }}
            >
              <Field label={t('registry.alias')}>
                <input value={alias} list="alias-names" autocomplete="off" required onInput={(event) => setAlias(event.currentTarget.value)} />
              </Field>
              <datalist id="alias-names">
                {Object.keys(model.aliases).map((name) => (
                  <option key={name} value={name} />
                ))}
              </datalist>
              <Field label={t('models.version')}>
                <select value={target || String(ready[0]?.version)} onChange={(event) => setTarget(event.currentTarget.value)}>
                  {ready.map((one) => (
                    <option key={one.version} value={String(one.version)}>
                      {one.version}
                    </option>
                  ))}
                </select>
              </Field>
              <button type="submit" disabled={busy || alias.trim() === ''}>
                {t('registry.setAlias')}
              </button>
            </form>
          )}
        </Panel>
      </div>
      <Panel title={t('models.versions')}>
        {versions.length === 0 ? (
          <Empty>{t('registry.noVersions')}</Empty>
        ) : (
          <Table label={t('models.versions')} columns={columns} rows={versions} rowKey={(row) => String(row.version)} href={(row) => hashOf('registry', `${props.model}/${row.version}`)} />
        )}
        <Pager pages={pages} size={VERSIONS} shown={versions.length} next={next} />
      </Panel>
      {can('observe') && <RoutePanel model={props.model} />}
      <Panel title={t('registry.when')}>
        {history.data !== null && <ServedTimeline events={events} now={history.data.at} />}
        {history.problem !== null && <Failure problem={history.problem} retry={history.reload} />}
        <details>
          <summary>{t('registry.history', { count: formatNumber(events.length, language) })}</summary>
          <Table label={t('registry.history', { count: formatNumber(events.length, language) })} columns={historyColumns} rows={events.slice(0, VERSIONS)} rowKey={(row) => String(row.number)} />
        </details>
      </Panel>
      {removing !== null && (
        <Confirm
          question={t('registry.removeAsk', { alias: removing, model: props.model })}
          action={t('registry.removeAlias', { alias: removing })}
          onYes={() => void attempt(() => client.remove(`${path}/aliases/${encodeURIComponent(removing)}`))}
          onClose={() => setRemoving(null)}
        />
      )}
    </Page>
  );
}
