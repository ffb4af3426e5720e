import { Fragment, type ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { Problem } from '../../api/problem';
import type { RegisteredVersion, RegistryServed, RegistryTest } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import { formatBytes, formatNumber } from '../../ui/format';
import { Badge, Confirm, Empty, Failure, Loading, Page, Panel, Table, Time } from '../../ui/parts';
import { DriftPanel } from '../../ui/drift_panel';
import { Tags, VersionState } from './tags';

type Check = RegistryTest['checks'][number];
type File = NonNullable<RegisteredVersion['files']>[number];

const OUTCOMES = { passed: 'good', failed: 'bad', skipped: 'quiet' } as const;

export function RegistryVersionPage(props: { model: string; version: string }) {
  const t = useTexts();
  const { client, can, language } = useSession();
  const [retiring, setRetiring] = useState(false);
  const path = `/v1/registry/models/${encodeURIComponent(props.model)}/versions/${encodeURIComponent(props.version)}`;
  const { data, problem, at, reload } = useData(
    async (signal) => {
      const [version, served] = await Promise.all([client.get<RegisteredVersion>(path, signal), can('observe') ? client.get<RegistryServed>('/v1/registry/served', signal) : { data: [] }]);
      let test: RegistryTest | null = null;
      try {
        test = await client.get<RegistryTest>(`/v1/registry/models/${encodeURIComponent(props.model)}/versions/${version.version}/test`, signal);
      } catch (thrown) {
        if (!(thrown instanceof Problem) || thrown.status !== 404) throw thrown; // It was not tested.
      }
      return { version, test, served: served.data.find((one) => one.model === props.model && one.version === version.version) ?? null };
    },
    [client, path],
    3000,
  );
  const { busy, failed, run } = useAction(reload);
  const act = (what: 'load' | 'unload' | 'retire' | 'restore') =>
    run(() => client.post(`/v1/registry/models/${encodeURIComponent(props.model)}/versions/${data?.version.version ?? ''}/${what}`));
  const title = (
    <>
      <a href={hashOf('registry')}>{t('room.registry')}</a> /{' '}
      <a class="mono" href={hashOf('registry', props.model)}>
        {props.model}
      </a>{' '}
      / <span class="mono">{props.version}</span>
    </>
  );
  if (data === null) return <Page title={title}>{problem === null ? <Loading /> : <Failure problem={problem} retry={reload} />}</Page>;
  const { version, test, served } = data;
  const { lineage } = version;
  const digits = (value: number) => new Intl.NumberFormat(language, { maximumSignificantDigits: 3 }).format(value);
  const metrics = Object.entries(lineage.metrics ?? {});
  const facts: readonly (readonly [string, ComponentChildren])[] = [
    [t('lineage.data'), lineage.data],
    [t('lineage.code'), lineage.code],
    [t('lineage.parent'), lineage.parent === null ? null : <a href={hashOf('registry', `${props.model}/${lineage.parent}`)}>{lineage.parent}</a>],
    [t('lineage.run'), lineage.run_id],
    [t('lineage.source'), lineage.source],
    [t('lineage.metrics'), metrics.length === 0 ? null : <Tags tags={Object.fromEntries(metrics.map(([name, value]) => [name, typeof value === 'number' ? digits(value) : JSON.stringify(value)]))} />],
  ];
  const checks = [
    { key: 'name', title: t('test.check'), cell: (row: Check) => <span class="mono">{row.name}</span> },
    { key: 'outcome', title: t('test.outcome'), cell: (row: Check) => <Badge tone={OUTCOMES[row.outcome]}>{t(`test.${row.outcome}`)}</Badge> },
    {
      key: 'measured',
      title: t('test.measured'),
      cell: (row: Check) => (
        <>
          {row.reason !== undefined && row.reason !== '' && <p class={row.outcome === 'failed' ? 'bad' : 'quiet'}>{row.reason}</p>}
          {Object.keys(row.measured ?? {}).length > 0 && (
            <Tags tags={Object.fromEntries(Object.entries(row.measured ?? {}).map(([name, value]) => [name, digits(value)]))} />
          )}
        </>
      ),
    },
  ];
  const files = [
    { key: 'path', title: t('registry.file'), cell: (row: File) => <span class="mono">{row.path}</span> },
    { key: 'bytes', title: t('cache.bytes'), number: true, cell: (row: File) => formatBytes(row.bytes, language) },
    { key: 'sha256', title: 'SHA-256', wide: true, cell: (row: File) => <span class="mono quiet">{row.sha256.slice(0, 16)}…</span> },
  ];
  return (
    <Page
      title={title}
      actions={
        <>
          <VersionState version={version} />
          {version.retirement !== undefined && version.retirement !== 'serving' && <Badge tone="busy">{t(`retirement.${version.retirement}`)}</Badge>}
          {served !== null && <Badge tone={served.ready ? 'good' : 'busy'}>{t('registry.here')}</Badge>}
          {can('operate') && version.state === 'ready' && (
            <>
              <button type="button" disabled={busy} onClick={() => void act(served === null ? 'load' : 'unload')}>
                {t(served === null ? 'models.load' : 'models.unload')}
              </button>
              <a class="button" href={hashOf('releases', `new/${props.model}/${version.version}`)}>
                {t('registry.release')}
              </a>
              {version.retirement !== 'draining' && (
                <button type="button" class="danger" disabled={busy} onClick={() => setRetiring(true)}>
                  {t('registry.retire')}
                </button>
              )}
            </>
          )}
          {can('operate') && (version.state === 'archived' || (version.retirement !== undefined && version.retirement !== 'serving')) && (
            <button type="button" disabled={busy} onClick={() => void act('restore')}>
              {t('registry.restore')}
            </button>
          )}
        </>
      }
    >
      {failed !== null && <Failure problem={failed} />}
      {problem !== null && <Failure problem={problem} retry={reload} since={at} />}
      {version.state === 'rejected' && (
        <div class="failure" role="note">
          <strong>{t('registry.rejected')}</strong>
          <p>{version.reason}</p>
        </div>
      )}
      <div class="split even">
        <Panel title={t('registry.about')}>
          {version.description !== '' && <p>{version.description}</p>}
          <dl class="facts">
            <dt>{t('registry.digest')}</dt>
            <dd class="mono">{version.digest}</dd>
            <dt>{t('registry.aliases')}</dt>
            <dd>
              <Tags tags={Object.fromEntries(version.aliases.map((name) => [name, '']))} />
            </dd>
            <dt>{t('registry.tags')}</dt>
            <dd>
              <Tags tags={version.tags} />
            </dd>
            <dt>{t('registry.stage')}</dt>
            <dd>{version.stage ?? t('app.none')}</dd>
            <dt>{t('registry.created')}</dt>
            <dd>
              <Time at={version.created_at} /> · {version.created_by}
            </dd>
          </dl>
        </Panel>
        <Panel title={t('lineage.title')}>
          <dl class="facts">
            {facts.map(
              ([name, value]) =>
                value !== null && (
                  <Fragment key={name}>
                    <dt>{name}</dt>
                    <dd class="mono">{value}</dd>
                  </Fragment>
                ),
            )}
            <dt>{t('lineage.by')}</dt>
            <dd class="mono">{version.created_by}</dd>
            <dt>{t('lineage.at')}</dt>
            <dd>
              <Time at={version.created_at} />
            </dd>
          </dl>
          {facts.every(([, value]) => value === null) && <p class="quiet under">{t('lineage.none')}</p>}
        </Panel>
      </div>
      <Panel
        title={t('test.title')}
        aside={
          test !== null && (
            <>
              <Badge tone={OUTCOMES[test.verdict]}>{t(`test.${test.verdict}`)}</Badge> {t('test.memory', { bytes: formatBytes(test.peak_memory_bytes, language) })}
              {!test.confined && ` · ${t('test.unconfined')}`}
            </>
          )
        }
      >
        {test === null ? <Empty>{t(version.state === 'testing' ? 'test.running' : 'test.none')}</Empty> : <Table label={t('test.title')} columns={checks} rows={test.checks} rowKey={(row) => row.name} />}
      </Panel>
      {can('observe') && <DriftPanel model={props.model} version={String(version.version)} />}
      <Panel title={t('registry.files', { count: formatNumber(version.file_count, language), bytes: formatBytes(version.bytes, language) })}>
        {(version.files ?? []).length === 0 ? <Empty>{t('registry.noFiles')}</Empty> : <Table label={t('registry.file')} columns={files} rows={version.files ?? []} rowKey={(row) => row.path} />}
        {(version.missing ?? []).length > 0 && <p class="quiet">{t('registry.missing', { count: formatNumber(version.missing?.length ?? 0, language) })}</p>}
      </Panel>
      {retiring && (
        <Confirm question={t('registry.retireAsk', { model: props.model, version: version.version })} action={t('registry.retire')} onYes={() => void act('retire')} onClose={() => setRetiring(false)} />
      )}
    </Page>
  );
}
