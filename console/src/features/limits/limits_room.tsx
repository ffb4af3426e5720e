import type { Limit, Limits } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { useData } from '../../app/use_data';
import { useSlices } from '../../app/use_pages';
import { useParam } from '../../app/use_param';
import { formatNumber } from '../../ui/format';
import { Listing, Page, Pager, Search } from '../../ui/parts';

const PAGE = 100;

/** Whom a limit is for: what it names, or everyone. */
function whose(limit: Limit, everyone: string): string {
  const named = [limit.tenant, limit.project, limit.key, limit.model].filter((one) => one);
  return named.length === 0 ? everyone : named.join(' · ');
}

export function LimitsRoom() {
  const t = useTexts();
  const { client, language } = useSession();
  const list = useData((signal) => client.get<Limits>('/v1/limits?limit=1000', signal), [client], 15_000);
  const [wanted, setWanted] = useParam<string>('q', '');
  const like = wanted.trim().toLowerCase();
  const rows = (list.data?.data ?? []).filter((row) => [row.name, row.kind, row.tenant, row.project, row.model].some((one) => one?.toLowerCase().includes(like)));
  const { shown, pages, more } = useSlices(rows, PAGE, [like]);
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
    <Page title={t('room.limits')} actions={<Search value={wanted} onChange={setWanted} />}>
      <Listing
        of={list}
        rows={shown}
        empty={t(list.data?.data.length === 0 ? 'limits.empty' : 'limits.noMatch')}
        label={t('room.limits')}
        columns={columns}
        rowKey={(row) => row.name}
        pager={<Pager pages={pages} size={PAGE} shown={shown.length} of={rows.length} next={more ? 'next' : null} />}
      />
    </Page>
  );
}
