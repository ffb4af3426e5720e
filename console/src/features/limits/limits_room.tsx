import type { Limit, Limits } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { useData } from '../../app/use_data';
import { formatNumber } from '../../ui/format';
import { Empty, Failure, Loading, Page, Panel, Table } from '../../ui/parts';

/** Whom a limit is for: what it names, or everyone. */
function whose(limit: Limit, everyone: string): string {
  const named = [limit.tenant, limit.project, limit.key, limit.model].filter((one) => one);
  return named.length === 0 ? everyone : named.join(' · ');
}

export function LimitsRoom() {
  const t = useTexts();
  const { client, language } = useSession();
  const { data, problem, reload } = useData((signal) => client.get<Limits>('/v1/limits?limit=1000', signal), [client], 15_000);
  const number = (value: number | null | undefined) => (value === null || value === undefined ? t('app.none') : formatNumber(value, language));
  const columns = [
    { key: 'name', title: t('limits.name'), cell: (row: Limit) => <span class="mono">{row.name}</span> },
    { key: 'kind', title: t('limits.kind'), cell: (row: Limit) => <span class="mono">{row.kind}</span> },
    { key: 'whose', title: t('limits.whose'), cell: (row: Limit) => <span class="mono">{whose(row, t('limits.everyone'))}</span> },
    { key: 'per', title: t('limits.per'), wide: true, cell: (row: Limit) => <span class="mono">{(row.per ?? []).join(', ') || t('app.none')}</span> },
    {
      key: 'amount',
      title: t('limits.amount'),
      number: true,
      cell: (row: Limit) => (row.rate ? t('limits.rate', { rate: number(row.rate), burst: number(row.burst) }) : number(row.amount)),
    },
    { key: 'source', title: t('limits.source'), wide: true, cell: (row: Limit) => row.source },
  ];
  return (
    <Page title={t('room.limits')}>
      {problem !== null && <Failure problem={problem} retry={reload} />}
      {data === null && problem === null && <Loading />}
      {data !== null && data.data.length === 0 && <Empty>{t('limits.empty')}</Empty>}
      {data !== null && data.data.length > 0 && (
        <Panel>
          <Table label={t('room.limits')} columns={columns} rows={data.data} rowKey={(row) => row.name} />
        </Panel>
      )}
    </Page>
  );
}
