import { useState } from 'preact/hooks';
import type { Cache } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import { useSlices } from '../../app/use_pages';
import { formatBytes, formatMs, formatNumber, formatPercent } from '../../ui/format';
import { Badge, Bar, Confirm, Empty, Failure, Loading, Page, Pager, Panel, ReadOnly, Table } from '../../ui/parts';

const PAGE = 100;

type Row = Cache['data'][number];

export function CacheRoom() {
  const t = useTexts();
  const { client, can, language } = useSession();
  const { data, problem, at, reload } = useData((signal) => client.get<Cache>('/v1/cache', signal), [client], 3000);
  const [asking, setAsking] = useState<string | null>(null);
  const { busy, failed, run } = useAction(reload);
  const { shown, pages, more } = useSlices(data?.data ?? [], PAGE, []);
  const purge = (model: string) => run(() => client.post('/v1/cache/purge', { model }));
  const number = (value: number) => formatNumber(value, language);
  const columns = [
    { key: 'model', title: t('cache.model'), cell: (row: Row) => <span class="mono">{row.model}</span> },
    { key: 'ratio', title: t('cache.ratio'), number: true, cell: (row: Row) => (row.hits + row.misses === 0 ? t('app.none') : formatPercent(row.hits / (row.hits + row.misses), language)) },
    { key: 'hits', title: t('cache.hits'), number: true, cell: (row: Row) => number(row.hits) },
    { key: 'misses', title: t('cache.misses'), number: true, wide: true, cell: (row: Row) => number(row.misses) },
    { key: 'entries', title: t('cache.entries'), number: true, wide: true, cell: (row: Row) => number(row.entries) },
    { key: 'bytes', title: t('cache.bytes'), number: true, wide: true, cell: (row: Row) => formatBytes(row.bytes, language) },
    { key: 'saved', title: t('cache.saved'), number: true, wide: true, cell: (row: Row) => formatMs(row.saved_device_ms, language) },
    { key: 'epoch', title: t('cache.epoch'), number: true, wide: true, cell: (row: Row) => number(row.epoch) },
    ...(can('operate')
      ? [
          {
            key: 'actions',
            title: t('models.actions'),
            cell: (row: Row) => (
              <button type="button" class="small" disabled={busy} onClick={() => setAsking(row.model)}>
                {t('cache.purge')}
              </button>
            ),
          },
        ]
      : []),
  ];
  return (
    <Page title={t('room.cache')} actions={<ReadOnly />}>
      {failed !== null && <Failure problem={failed} />}
      {problem !== null && <Failure problem={problem} retry={reload} since={at} />}
      {data === null && problem === null && <Loading />}
      {data !== null && (
        <Panel>
          <div class="device">
            <Bar share={data.max_bytes === 0 ? 0 : data.bytes / data.max_bytes} label={t('room.cache')} />
            <span class="quiet">{t('cache.filled', { bytes: formatBytes(data.bytes, language), max: formatBytes(data.max_bytes, language), entries: number(data.entries) })}</span>
            {data.shared !== null && (
              <span>
                {t('cache.shared')}: <Badge tone={data.shared.healthy ? 'good' : 'bad'}>{t(data.shared.healthy ? 'cache.healthy' : 'cache.away')}</Badge>
              </span>
            )}
          </div>
          {data.data.length === 0 ? <Empty>{t('cache.empty')}</Empty> : <Table label={t('room.cache')} columns={columns} rows={shown} rowKey={(row) => row.model} />}
          <Pager pages={pages} size={PAGE} shown={shown.length} of={data.data.length} next={more ? 'next' : null} />
        </Panel>
      )}
      {asking !== null && <Confirm question={t('cache.purgeAsk', { model: asking })} action={t('cache.purge')} onYes={() => void purge(asking)} onClose={() => setAsking(null)} />}
    </Page>
  );
}
