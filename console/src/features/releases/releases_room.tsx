import { useMemo, useState } from 'preact/hooks';
import type { Release, Releases } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useData } from '../../app/use_data';
import { formatTime } from '../../ui/format';
import { Badge, Choice, Empty, Failure, Loading, Page, Panel, Table } from '../../ui/parts';
import { percentOf } from '../../ui/split';
import { candidateOf, isEnded, shareOf } from './evidence';
import { ReleaseForm } from './release_form';
import { ReleasePage } from './release_page';
import { ReleaseState } from './state_badge';

const PAGE = 100;
const ALL = 999;

export function ReleasesRoom(props: { item: string; look: string }) {
  const [what = '', model = '', candidate = ''] = props.item.split('/');
  if (what === 'new') return <ReleaseForm key={props.item} model={model} candidate={candidate} />;
  return props.item === '' ? <ReleaseList /> : <ReleasePage key={props.item} id={props.item} look={props.look} />;
}

function ReleaseList() {
  const t = useTexts();
  const { client, can, language } = useSession();
  const [wanted, setWanted] = useState('');
  const [which, setWhich] = useState<'open' | 'all'>('all');
  const [limit, setLimit] = useState(PAGE);
  const { data, problem, reload } = useData((signal) => client.get<Releases>(`/v1/releases?limit=${limit}`, signal), [client, limit], limit === PAGE ? 2000 : 10_000);
  const rows = useMemo(
    () => (data?.data ?? []).filter((row) => row.model.toLowerCase().includes(wanted.trim().toLowerCase()) && (which === 'all' || !isEnded(row))),
    [data, wanted, which],
  );
  const columns = [
    { key: 'model', title: t('models.model'), cell: (row: Release) => <span class="mono">{row.model}</span> },
    { key: 'versions', title: t('releases.versions'), cell: (row: Release) => <span class="mono">{`${row.spec.stable} → ${candidateOf(row)}`}</span> },
    { key: 'strategy', title: t('releases.strategy'), wide: true, cell: (row: Release) => t(`strategy.${row.strategy}`) },
    { key: 'state', title: t('models.state'), cell: (row: Release) => <ReleaseState release={row} /> },
    { key: 'step', title: t('releases.step'), number: true, wide: true, cell: (row: Release) => (row.strategy === 'canary' ? `${row.step + 1} / ${row.spec.steps.length}` : t('app.none')) },
    {
      key: 'share',
      title: t('releases.share'),
      number: true,
      cell: (row: Release) => {
        const share = shareOf(row);
        return share === null ? t('app.none') : percentOf(share, language);
      },
    },
    { key: 'since', title: t('releases.since'), wide: true, cell: (row: Release) => formatTime(row.since, language) },
    { key: 'reason', title: t('releases.reason'), wide: true, cell: (row: Release) => <span class="quiet reason" title={row.reason}>{row.reason}</span> },
  ];
  return (
    <Page
      title={t('room.releases')}
      actions={
        <>
          {!can('operate') && <Badge tone="quiet">{t('app.readOnly')}</Badge>}
          <Choice
            label={t('releases.which')}
            value={which}
            options={[
              ['all', t('app.all')],
              ['open', t('releases.open')],
            ]}
            onChange={setWhich}
          />
          <input type="search" placeholder={`${t('app.search')}  /`} aria-label={t('app.search')} value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />
          {can('operate') && (
            <a class="button primary" href={hashOf('releases', 'new')}>
              {t('releases.begin')}
            </a>
          )}
        </>
      }
    >
      {problem !== null && (problem.reason === 'unknown_url' ? <Empty>{t('releases.off')}</Empty> : <Failure problem={problem} retry={reload} />)}
      {data === null && problem === null && <Loading />}
      {data !== null && rows.length === 0 && <Empty>{t(data.data.length === 0 ? 'releases.empty' : 'releases.noMatch')}</Empty>}
      {rows.length > 0 && (
        <Panel>
          <Table label={t('room.releases')} columns={columns} rows={rows} rowKey={(row) => row.id} href={(row) => hashOf('releases', row.id)} />
        </Panel>
      )}
      {data?.has_more && limit < ALL && (
        <button type="button" onClick={() => setLimit(ALL)}>
          {t('app.more')}
        </button>
      )}
    </Page>
  );
}
