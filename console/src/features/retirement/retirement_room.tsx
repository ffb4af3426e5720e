import type { Retirements, Retiring } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import { useSlices } from '../../app/use_pages';
import { useParam } from '../../app/use_param';
import { Badge, Failure, Listing, Page, Pager, ReadOnly, Search, Select, Time } from '../../ui/parts';

const MOST = 1000;
const PAGE = 100;
const STAGES = ['', 'warned', 'draining', 'archiving', 'archived'] as const;
const TONES = { warned: 'busy', draining: 'busy', archiving: 'busy', archived: 'quiet' } as const;

/** Versions on their way out of service: where they are, since when, what comes next, and the way back. */
export function RetirementRoom() {
  const t = useTexts();
  const { client, can } = useSession();
  const [wanted, setWanted] = useParam<string>('q', '');
  const [stage, setStage] = useParam<(typeof STAGES)[number]>('stage', '', STAGES);
  const list = useData((signal) => client.get<Retirements>(`/v1/registry/retirements?limit=${MOST}`, signal), [client], 5000);
  const { busy, failed, run } = useAction(list.reload);
  const like = wanted.trim().toLowerCase();
  const rows = (list.data?.data ?? []).filter((row) => row.model.toLowerCase().includes(like) && (stage === '' || row.stage === stage));
  const { shown, pages, more } = useSlices(rows, PAGE, [like, stage]);
  const restore = (row: Retiring) => run(() => client.post(`/v1/registry/models/${encodeURIComponent(row.model)}/versions/${row.version}/restore`));
  const columns = [
    { key: 'model', title: t('models.model'), cell: (row: Retiring) => <span class="mono">{row.model}</span> },
    { key: 'version', title: t('models.version'), number: true, cell: (row: Retiring) => row.version },
    { key: 'stage', title: t('retirement.stage'), cell: (row: Retiring) => <Badge tone={TONES[row.stage]}>{t(`retirement.${row.stage}`)}</Badge> },
    { key: 'since', title: t('releases.since'), cell: (row: Retiring) => <Time at={row.since} /> },
    { key: 'next', title: t('retirement.next'), cell: (row: Retiring) => (row.stage === 'warned' || row.stage === 'draining' ? <Next row={row} /> : t('app.none')) },
    { key: 'called', title: t('retirement.lastCall'), wide: true, cell: (row: Retiring) => <Time at={row.last_call_at} /> },
    { key: 'by', title: t('pipelines.trigger'), wide: true, cell: (row: Retiring) => (row.by_hand === null ? t('app.none') : t(row.by_hand ? 'pipelines.byHand' : 'retirement.unused')) },
    ...(can('operate')
      ? [
          {
            key: 'actions',
            title: t('models.actions'),
            cell: (row: Retiring) => (
              <button type="button" class="small" disabled={busy} aria-label={t('retirement.restoreOf', { model: row.model, version: row.version })} onClick={() => void restore(row)}>
                {t('registry.restore')}
              </button>
            ),
          },
        ]
      : []),
  ];
  return (
    <Page
      title={t('room.retirement')}
      actions={
        <>
          <ReadOnly />
          <Select
            label={t('retirement.stage')}
            value={stage}
            options={STAGES.map((one) => [one, one === '' ? `${t('retirement.stage')}: ${t('app.all')}` : t(`retirement.${one}`)] as const)}
            onChange={setStage}
          />
          <Search value={wanted} onChange={setWanted} />
        </>
      }
    >
      {failed !== null && <Failure problem={failed} />}
      <Listing
        of={list}
        off={t('registry.off')}
        rows={shown}
        empty={t(list.data?.data.length === 0 ? 'retirement.empty' : 'retirement.noMatch')}
        label={t('room.retirement')}
        columns={columns}
        rowKey={(row) => `${row.model} ${row.version}`}
        href={(row) => hashOf('registry', `${row.model}/${row.version}`)}
        pager={<Pager pages={pages} size={PAGE} shown={shown.length} of={rows.length} next={more ? 'next' : null} />}
      />
      {list.data?.has_more === true && <p class="quiet under">{t('retirement.newest', { count: MOST })}</p>}
    </Page>
  );
}

/** The next stage, and from when on it is due. */
function Next(props: { row: Retiring }) {
  const t = useTexts();
  return (
    <>
      {t(props.row.stage === 'warned' ? 'retirement.draining' : 'retirement.archiving')}{' '}
      <span class="quiet">
        <Time at={props.row.next_at} />
      </span>
    </>
  );
}
