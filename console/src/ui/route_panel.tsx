import { useState } from 'preact/hooks';
import type { RouteHistory, RouteRevision } from '../api/types';
import { useSession, useTexts } from '../app/context';
import { hashOf } from '../app/route';
import { useAction } from '../app/use_action';
import { useData } from '../app/use_data';
import { Badge, Confirm, Empty, Failure, Loading, Panel, Table, Time } from './parts';
import { partsOf, percentOf, spoken } from './split';
import { SplitBar } from './split_bar';

const REVISIONS = 20;
const BREAKERS = { closed: 'good', half_open: 'busy', open: 'bad' } as const;

/** A model's route: its split, rules and shadows, what this host makes of it, its revisions and the way back. Needs `observe`. */
export function RoutePanel(props: { model: string }) {
  const t = useTexts();
  const { client, can, language } = useSession();
  const [asking, setAsking] = useState<RouteRevision | null>(null);
  const path = `/v1/routes/${encodeURIComponent(props.model)}`;
  const { data, problem, at, reload } = useData(
    async (signal) => {
      const [now, past] = await Promise.all([client.get<RouteRevision>(path, signal), client.get<RouteHistory>(`${path}/history?limit=${REVISIONS}`, signal)]);
      return { now, past: past.data };
    },
    [client, props.model],
    2000,
  );
  const { busy, failed, run } = useAction(reload);
  const goBack = (to: RouteRevision) => run(() => client.post(`${path}/rollback`, { revision: to.revision, why: `back to revision ${to.revision}` }));
  const begin = can('operate') && <a href={hashOf('releases', `new/${props.model}`)}>{t('releases.begin')}</a>;
  if (problem !== null && problem.status === 404) {
    return (
      <Panel title={t('route.title')} aside={begin}>
        <Empty>{t('route.none')}</Empty>
      </Panel>
    );
  }
  if (data === null) return <Panel title={t('route.title')}>{problem === null ? <Loading /> : <Failure problem={problem} retry={reload} />}</Panel>;
  const { now, past } = data;
  const route = now.route;
  const open = (now.host?.arms ?? []).filter((arm) => !arm.found || arm.breaker !== 'closed');
  const columns = [
    { key: 'revision', title: t('route.revision'), number: true, cell: (row: RouteRevision) => row.revision },
    { key: 'route', title: t('route.split'), cell: (row: RouteRevision) => <span class="mono">{spoken(partsOf(row.route), language)}</span> },
    { key: 'why', title: t('route.why'), wide: true, cell: (row: RouteRevision) => <span class="quiet reason">{row.why}</span> },
    { key: 'by', title: t('route.by'), wide: true, cell: (row: RouteRevision) => row.changed_by },
    { key: 'at', title: t('route.at'), wide: true, cell: (row: RouteRevision) => <Time at={row.changed_at} /> },
    ...(can('operate')
      ? [
          {
            key: 'actions',
            title: t('models.actions'),
            cell: (row: RouteRevision) =>
              row.revision !== now.revision && (
                <button type="button" class="small" disabled={busy} onClick={() => setAsking(row)} aria-label={t('route.backTo', { revision: row.revision })}>
                  {t('route.back')}
                </button>
              ),
          },
        ]
      : []),
  ];
  return (
    <Panel title={t('route.title')} aside={begin}>
      {failed !== null && <Failure problem={failed} />}
      {problem !== null && <Failure problem={problem} retry={reload} since={at} />}
      <SplitBar parts={partsOf(route)} label={t('route.split')} />
      <dl class="facts">
        <dt>{t('route.stable')}</dt>
        <dd class="mono">{route.stable}</dd>
        {route.split !== undefined && (
          <>
            <dt>{t('route.sticky')}</dt>
            <dd class="mono">{route.split.sticky ?? 'none'}</dd>
          </>
        )}
        {(route.rules ?? []).length > 0 && (
          <>
            <dt>{t('route.rules')}</dt>
            <dd>
              <ol>
                {(route.rules ?? []).map((rule, at) => (
                  <li key={at} class="mono">
                    {[rule.header && `${rule.header}: ${rule.equals ?? ''}`, rule.tenant && `tenant ${rule.tenant}`].filter(Boolean).join(' & ') || '*'} → {rule.version}
                  </li>
                ))}
              </ol>
            </dd>
          </>
        )}
        {(route.shadows ?? []).length > 0 && (
          <>
            <dt>{t('route.shadows')}</dt>
            <dd>
              {(route.shadows ?? []).map((shadow) => (
                <div key={shadow.version} class="mono">
                  {percentOf(shadow.share, language)} → {shadow.version}
                </div>
              ))}
            </dd>
          </>
        )}
      </dl>
      {open.map((arm) => (
        <p key={arm.name}>
          <Badge tone={arm.found ? BREAKERS[arm.breaker] : 'bad'}>{arm.found ? t(`breaker.${arm.breaker}`) : t('route.notFound')}</Badge> {arm.name} <span class="mono">{arm.version}</span>
        </p>
      ))}
      <details>
        <summary>{t('route.history', { count: past.length })}</summary>
        <Table label={t('route.history', { count: past.length })} columns={columns} rows={past} rowKey={(row) => String(row.revision)} />
      </details>
      {asking !== null && (
        <Confirm
          question={t('route.backAsk', { revision: asking.revision, model: props.model, split: spoken(partsOf(asking.route), language) })}
          action={t('route.backTo', { revision: asking.revision })}
          onYes={() => void goBack(asking)}
          onClose={() => setAsking(null)}
        />
      )}
    </Panel>
  );
}
