import { useMemo } from 'preact/hooks';
import type { Usage, UsageRow, UsageSum } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import { useSlices } from '../../app/use_pages';
import { useParam } from '../../app/use_param';
import type { TextKey } from '../../i18n/texts';
import { Chart, type ColorName } from '../../ui/chart';
import { formatMoney, formatMs, formatNumber } from '../../ui/format';
import { Choice, Empty, Failure, Loading, Page, Pager, Panel, Select, Table } from '../../ui/parts';
import { barsOf, measures, sumsOf, type Group, type Measure } from './report';

const TEXTS: Record<Measure, TextKey> = {
  requests: 'usage.requests',
  device_ms: 'usage.device',
  failed: 'usage.failed',
  images: 'usage.images',
  video_seconds: 'usage.video',
  cache_hits: 'usage.hits',
  cost_micros: 'usage.cost',
};
const COLORS: readonly ColorName[] = ['accent', 'good', 'warm', 'violet', 'bad', 'quiet'];
const NAMED = COLORS.length - 1;
const PAGE = 50;

/** Hands a text to the browser as a file. */
function save(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

export function UsageRoom(props: { look: string }) {
  const t = useTexts();
  const { client, language, can } = useSession();
  const [by, setBy] = useParam<'hour' | 'day'>('by', 'day', ['hour', 'day']);
  const [group, setGroup] = useParam<Group>('group', can('observe') ? 'tenant' : 'model', ['tenant', 'model', 'kind']);
  const [measure, setMeasure] = useParam<Measure>('measure', 'requests', measures);
  const { busy, failed, run } = useAction();
  const { data, problem, at, reload } = useData((signal) => client.get<Usage>(`/v1/usage?by=${by}&group=${group}&limit=10000`, signal), [client, by, group], 30_000);
  const rows = useMemo(() => (data?.data ?? []) as UsageRow[], [data]);
  const sums = useMemo(() => sumsOf(rows, group, measure), [rows, group, measure]);
  const { shown: page, pages, more } = useSlices(sums, PAGE, [by, group, measure]);
  const bars = useMemo(() => (data === null ? null : barsOf(rows, group, measure, data, NAMED)), [data, rows, group, measure]);

  const format = (name: Measure, value: number) => {
    if (name === 'device_ms') return formatMs(value, language);
    if (name === 'video_seconds') return formatMs(1000 * value, language);
    if (name === 'cost_micros') return formatMoney(value, data?.currency ?? null, language);
    return formatNumber(value, language);
  };
  const day = (seconds: number) =>
    new Intl.DateTimeFormat(language, by === 'day' ? { month: 'short', day: 'numeric', timeZone: 'UTC' } : { hour: '2-digit', minute: '2-digit', hour12: false, timeZone: 'UTC' }).format(1000 * seconds);
  const download = () => run(async () => save('usage.csv', await client.text(`/v1/usage?by=${by}&group=${group}&format=csv`)));
  const shown = measures.filter((one) => one !== 'cost_micros' || data?.currency);
  type Row = { name: string; sum: UsageSum };
  const columns = [
    { key: 'name', title: t(`usage.${group}`), cell: (row: Row) => <span class="mono">{row.name || t('app.none')}</span> },
    ...shown.map((one) => ({
      key: one,
      title: t(TEXTS[one]),
      number: true,
      wide: one !== measure,
      cell: (row: Row) => format(one, row.sum[one]),
    })),
  ];
  return (
    <Page
      title={t('room.usage')}
      actions={
        <>
          <Choice label={t('usage.group')} value={group} options={(['tenant', 'model', 'kind'] as const).map((one) => [one, t(`usage.${one}`)] as const)} onChange={setGroup} />
          <Select label={t('usage.measure')} value={measure} options={shown.map((one) => [one, t(TEXTS[one])] as const)} onChange={setMeasure} />
          <Select
            label={t('usage.by')}
            value={by}
            options={[
              ['day', t('usage.day')],
              ['hour', t('usage.hour')],
            ]}
            onChange={setBy}
          />
          <button type="button" onClick={() => void download()} disabled={busy || rows.length === 0} aria-busy={busy}>
            {t('usage.csv')}
          </button>
        </>
      }
    >
      {failed !== null && <Failure problem={failed} />}
      {problem !== null && (problem.status === 404 ? <Empty>{t('usage.off')}</Empty> : <Failure problem={problem} retry={reload} since={at} />)}
      {data?.warning && <p class="failure">{data.warning}</p>}
      {data === null && problem === null && <Loading />}
      {data !== null && rows.length === 0 && <Empty>{t('usage.empty')}</Empty>}
      {bars !== null && rows.length > 0 && (
        <>
          <Panel title={t(TEXTS[measure])} aside={<span class="quiet">{t(by === 'day' ? 'usage.daysUtc' : 'usage.hoursUtc')}</span>}>
            <Chart
              label={t(TEXTS[measure])}
              look={`${props.look} ${by}`}
              height={220}
              data={bars.data}
              format={(value) => format(measure, value)}
              time={day}
              series={[...bars.names, ...(bars.others ? [t('usage.others')] : [])].map((name, at) => ({
                label: name || t('app.none'),
                color: COLORS[at] ?? 'quiet',
                bars: true,
              }))}
            />
          </Panel>
          <Panel>
            <Table
              label={t('room.usage')}
              columns={columns}
              rows={page}
              rowKey={(row) => row.name}
              foot={
                <tfoot>
                  <tr>
                    <th scope="row">{t('usage.total')}</th>
                    {shown.map((one) => (
                      <td key={one} class={`number ${one === measure ? '' : 'wide'}`}>
                        {format(one, data?.total[one] ?? 0)}
                      </td>
                    ))}
                  </tr>
                </tfoot>
              }
            />
            <Pager pages={pages} size={PAGE} shown={page.length} of={sums.length} next={more ? 'next' : null} />
          </Panel>
        </>
      )}
    </Page>
  );
}
