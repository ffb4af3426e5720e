import { useMemo } from 'preact/hooks';
import type { Release, Releases } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useData } from '../../app/use_data';
import { usePages } from '../../app/use_pages';
import { useParam } from '../../app/use_param';
import { Choice, Listing, Page, Pager, ReadOnly, Search, Time } from '../../ui/parts';
import { percentOf } from '../../ui/split';
import { candidateOf, isEnded, shareOf } from './evidence';
import { ReleaseForm } from './release_form';
import { ReleasePage } from './release_page';
import { ReleaseState } from './state_badge';

const PAGE = 100;
const SEARCHED = 999; // The newest, among which names are looked for.

export function ReleasesRoom(props: { item: string; look: string }) {
  const [what = '', model = '', candidate = ''] = props.item.split('/');
  if (what === 'new') return <ReleaseForm key={props.item} model={model} candidate={candidate} />;
  return props.item === '' ? <ReleaseList /> : <ReleasePage key={props.item} id={props.item} look={props.look} />;
}

function ReleaseList() {
  const t = useTexts();
  const { client, can, language } = useSession();
  const [wanted, setWanted] = useParam<string>('q', '');
  const [which, setWhich] = useParam<'open' | 'all'>('which', 'all', ['open', 'all']);
  const like = wanted.trim().toLowerCase();
  const searched = like !== '' || which === 'open';
  const pages = usePages([like, which]);
  const query = new URLSearchParams({ limit: String(searched ? SEARCHED : PAGE), ...(pages.cursor !== '' && { before: pages.cursor }) });
  const list = useData((signal) => client.get<Releases>(`/v1/releases?${query}`, signal), [client, searched, pages.cursor], searched || pages.number > 0 ? 10_000 : 2000);
  const { data } = list;
  const rows = useMemo(() => (data?.data ?? []).filter((row) => row.model.toLowerCase().includes(like) && (which === 'all' || !isEnded(row))), [data, like, which]);
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
    { key: 'since', title: t('releases.since'), wide: true, cell: (row: Release) => <Time at={row.since} /> },
    { key: 'reason', title: t('releases.reason'), wide: true, cell: (row: Release) => <span class="quiet reason" title={row.reason}>{row.reason}</span> },
  ];
  return (
    <Page
      title={t('room.releases')}
      actions={
        <>
          <ReadOnly />
          <Choice
            label={t('releases.which')}
            value={which}
            options={[
              ['all', t('app.all')],
              ['open', t('releases.open')],
            ]}
            onChange={setWhich}
          />
          <Search value={wanted} onChange={setWanted} />
          {can('operate') && (
            <a class="button primary" href={hashOf('releases', 'new')}>
              {t('releases.begin')}
            </a>
          )}
        </>
      }
    >
      <Listing
        of={list}
        off={t('releases.off')}
        rows={rows}
        empty={t(data?.data.length === 0 ? 'releases.empty' : 'releases.noMatch')}
        label={t('room.releases')}
        columns={columns}
        rowKey={(row) => row.id}
        href={(row) => hashOf('releases', row.id)}
        pager={<Pager pages={pages} size={searched ? SEARCHED : PAGE} shown={rows.length} next={data?.has_more ? data.last_id : null} />}
      />
    </Page>
  );
}
