import { useEffect, useState } from 'preact/hooks';
import type { Drift, DriftList, DriftTensor } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useData } from '../../app/use_data';
import { useSlices } from '../../app/use_pages';
import { useParam } from '../../app/use_param';
import { Chart } from '../../ui/chart';
import { DriftView } from '../../ui/drift_panel';
import { formatNumber } from '../../ui/format';
import { Badge, Choice, Failure, Listing, Loading, Page, Pager, ReadOnly, Search, Time } from '../../ui/parts';
import { keyOf, linesOf, withDrift, worstOf, type Trend } from './trend';

const PAGE = 100;
const ASK_MS = 5000;

/** Its items: none, `MODEL/VERSION`. */
export function DriftRoom(props: { item: string; look: string }) {
  const at = props.item.lastIndexOf('/');
  if (at < 0) return <DriftTable />;
  return <DriftPage key={props.item} model={props.item.slice(0, at)} version={props.item.slice(at + 1)} look={props.look} />;
}

/** What a version's calls say of it, in a word. */
function DriftState(props: { drift: Drift }) {
  const t = useTexts();
  const { drift } = props;
  if (drift.drifted_since !== null) return <Badge tone="bad">{t('drift.drifts')}</Badge>;
  return worstOf(drift) === null ? <Badge tone="quiet">{t('drift.few')}</Badge> : <Badge tone="good">{t('drift.steady')}</Badge>;
}

function DriftTable() {
  const t = useTexts();
  const { client, language } = useSession();
  const [wanted, setWanted] = useParam<string>('q', '');
  const [which, setWhich] = useParam<'all' | 'drifted'>('which', 'all', ['all', 'drifted']);
  const list = useData((signal) => client.get<DriftList>('/v1/drift', signal), [client], ASK_MS);
  const like = wanted.trim().toLowerCase();
  const rows = (list.data?.data ?? []).filter((row) => row.model.toLowerCase().includes(like) && (which === 'all' || row.drifted_since !== null));
  const { shown, pages, more } = useSlices(rows, PAGE, [like, which]);
  const number = (value: number | null | undefined) => (value === null || value === undefined ? t('app.none') : new Intl.NumberFormat(language, { maximumSignificantDigits: 3 }).format(value));
  const columns = [
    { key: 'model', title: t('models.model'), cell: (row: Drift) => <span class="mono">{row.model}</span> },
    { key: 'version', title: t('models.version'), number: true, cell: (row: Drift) => row.version },
    { key: 'state', title: t('models.state'), cell: (row: Drift) => <DriftState drift={row} /> },
    { key: 'since', title: t('releases.since'), wide: true, cell: (row: Drift) => <Time at={row.drifted_since} /> },
    { key: 'worst', title: t('drift.worst'), wide: true, cell: (row: Drift) => <span class="mono">{worstOf(row)?.name ?? t('app.none')}</span> },
    { key: 'psi', title: 'PSI', number: true, cell: (row: Drift) => number(worstOf(row)?.psi) },
    { key: 'ks', title: 'KS', number: true, wide: true, cell: (row: Drift) => number(worstOf(row)?.ks) },
    { key: 'threshold', title: t('drift.threshold'), number: true, wide: true, cell: (row: Drift) => number(row.threshold) },
    { key: 'calls', title: t('drift.looked'), number: true, wide: true, cell: (row: Drift) => formatNumber(Math.max(0, ...row.tensors.map((one) => one.calls)), language) },
  ];
  return (
    <Page
      title={t('room.drift')}
      actions={
        <>
          <Choice
            label={t('releases.which')}
            value={which}
            options={[
              ['all', t('app.all')],
              ['drifted', t('drift.drifts')],
            ]}
            onChange={setWhich}
          />
          <Search value={wanted} onChange={setWanted} />
        </>
      }
    >
      <Listing
        of={list}
        off={t('drift.off')}
        rows={shown}
        empty={t(list.data?.data.length === 0 ? 'drift.empty' : 'drift.noMatch')}
        label={t('room.drift')}
        columns={columns}
        rowKey={(row) => `${row.model} ${row.version}`}
        href={(row) => hashOf('drift', `${row.model}/${row.version}`)}
        pager={<Pager pages={pages} size={PAGE} shown={shown.length} of={rows.length} next={more ? 'next' : null} />}
      />
    </Page>
  );
}

function DriftPage(props: { model: string; version: string; look: string }) {
  const t = useTexts();
  const { client } = useSession();
  const [trend, setTrend] = useState<Trend>(new Map());
  const path = `/v1/drift/${encodeURIComponent(props.model)}/${encodeURIComponent(props.version)}`;
  const { data, problem, at, reload } = useData((signal) => client.get<Drift>(path, signal), [client, path], ASK_MS);
  useEffect(() => {
    if (data !== null) setTrend((now) => withDrift(now, data, Math.floor(Date.now() / 1000)));
  }, [data]);
  const title = (
    <>
      <a href={hashOf('drift')}>{t('room.drift')}</a> / <span class="mono">{props.model}</span> / <span class="mono">{props.version}</span>
    </>
  );
  if (data === null) return <Page title={title}>{problem === null ? <Loading /> : <Failure problem={problem} retry={reload} />}</Page>;
  return (
    <Page
      title={title}
      actions={
        <>
          <ReadOnly />
          <a class="button" href={hashOf('models', props.model)}>
            {t('drift.model')}
          </a>
        </>
      }
    >
      {problem !== null && <Failure problem={problem} retry={reload} since={at} />}
      <DriftView drift={data} reload={reload} plot={(tensor) => <Course tensor={tensor} trend={trend} threshold={data.threshold} look={props.look} />} />
      <p class="quiet under">{t('drift.course')}</p>
    </Page>
  );
}

/** A tensor's PSI and KS since this page looks, against the threshold. */
function Course(props: { tensor: DriftTensor; trend: Trend; threshold: number; look: string }) {
  const t = useTexts();
  const { language } = useSession();
  const samples = props.trend.get(keyOf(props.tensor)) ?? [];
  return (
    <Chart
      label={t('drift.courseOf', { tensor: props.tensor.name, count: samples.length })}
      look={props.look}
      height={120}
      data={linesOf(samples, props.threshold)}
      format={(value) => formatNumber(value, language)}
      series={[
        { label: 'PSI', color: 'accent' },
        { label: 'KS', color: 'violet' },
        { label: t('drift.threshold'), color: 'bad', dashed: true },
      ]}
    />
  );
}
