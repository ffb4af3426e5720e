import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Overview, OverviewSample, OverviewSecond } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useData } from '../../app/use_data';
import { useEvents } from '../../app/use_events';
import { Chart } from '../../ui/chart';
import { formatMs, formatNumber, formatPercent, formatTime } from '../../ui/format';
import { Badge, Bar, Empty, Failure, Loading, Page, Panel, Table } from '../../ui/parts';
import { linesOf, SHOWN, withSample } from './history';

type ModelRow = OverviewSecond['models'][number];

function Tile(props: { label: string; value: string; note?: string; alarm?: boolean }) {
  return (
    <div class={`tile ${props.alarm ? 'alarm' : ''}`}>
      <span class="quiet">{props.label}</span>
      <strong>{props.value}</strong>
      {props.note !== undefined && <small class="quiet">{props.note}</small>}
    </div>
  );
}

export function OverviewRoom(props: { look: string }) {
  const t = useTexts();
  const { client, language } = useSession();
  const [samples, setSamples] = useState<OverviewSample[]>([]);
  const [latest, setLatest] = useState<OverviewSecond | null>(null);
  const [seen, setSeen] = useState<number | null>(null); // When the latest came, in milliseconds.
  const past = useData((signal) => client.get<Overview>('/v1/overview', signal), [client]);
  useEffect(() => {
    if (past.data === null) return;
    const { history, latest: newest } = past.data;
    setSamples(history);
    setLatest((now) => now ?? newest);
  }, [past.data]);
  // After the history, so that nothing is drawn twice.
  const { connection, problem } = useEvents(client, past.data === null ? null : '/v1/overview/events', (event) => {
    const second = JSON.parse(event.data) as OverviewSecond;
    setLatest(second);
    setSeen(Date.now());
    setSamples((list) => withSample(list, second));
  });
  const lines = useMemo(() => linesOf(samples), [samples]);
  const number = (value: number) => formatNumber(value, language);
  const ms = (value: number | null) => formatMs(value, language);

  const live = connection === 'open' ? <Badge tone="good">{t('app.live')}</Badge> : connection === 'lost' && <Badge tone="busy">{t('app.reconnecting')}</Badge>;
  if (past.problem !== null && past.data === null) {
    return (
      <Page title={t('room.overview')}>
        <Failure problem={past.problem} retry={past.reload} />
      </Page>
    );
  }
  if (latest === null) {
    return (
      <Page title={t('room.overview')} actions={live}>
        {past.data === null ? <Loading /> : <Empty>{t('overview.waiting')}</Empty>}
      </Page>
    );
  }
  const slots = Math.max(1, latest.devices.reduce((sum, device) => sum + device.slots, 0));
  const columns = [
    { key: 'model', title: t('models.model'), cell: (row: ModelRow) => <span class="mono">{row.model}</span> },
    { key: 'version', title: t('models.version'), number: true, wide: true, cell: (row: ModelRow) => row.version },
    { key: 'rps', title: t('overview.requests'), number: true, cell: (row: ModelRow) => number(row.requests_per_second) },
    {
      key: 'failed',
      title: t('overview.failed'),
      number: true,
      cell: (row: ModelRow) => <span class={row.failed_per_second > 0 ? 'bad' : 'quiet'}>{number(row.failed_per_second)}</span>,
    },
    { key: 'p50', title: t('overview.p50'), number: true, wide: true, cell: (row: ModelRow) => ms(row.p50_ms) },
    { key: 'p99', title: t('overview.p99'), number: true, cell: (row: ModelRow) => ms(row.p99_ms) },
    { key: 'share', title: t('overview.share'), number: true, wide: true, cell: (row: ModelRow) => formatPercent(row.device_seconds_per_second / slots, language) },
    { key: 'queued', title: t('overview.queued'), number: true, wide: true, cell: (row: ModelRow) => number(row.queued) },
  ];
  const busy = latest.models.filter((row) => row.requests_per_second > 0 || row.p99_ms !== null || row.queued > 0 || row.device_seconds_per_second > 0);
  const idle = latest.all_models - busy.length;
  return (
    <Page title={t('room.overview')} actions={live}>
      {problem !== null && connection === 'ended' && <Failure problem={problem} retry={past.reload} since={seen} />}
      {connection === 'lost' && seen !== null && (
        <div class="failure" role="alert">
          <strong>{t('error.offline')}</strong>
          <p>{t('error.since', { time: formatTime(new Date(seen).toISOString(), language) })}</p>
        </div>
      )}
      <div class={connection === 'lost' ? 'tiles old' : 'tiles'}>
        <Tile label={t('overview.requests')} value={number(latest.requests_per_second)} />
        <Tile label={t('overview.p99')} value={ms(latest.p99_ms)} note={`${t('overview.p50')} ${ms(latest.p50_ms)}`} />
        <Tile label={t('overview.failed')} value={number(latest.failed_per_second)} alarm={latest.failed_per_second > 0} />
        <Tile label={t('overview.limited')} value={number(latest.limited_per_second)} />
        <Tile label={t('overview.queued')} value={number(latest.queued)} />
        <Tile label={t('overview.busy')} value={formatPercent(latest.utilisation, language)} />
      </div>
      <div class="charts">
        <Panel title={t('overview.traffic')} aside={<span class="quiet">{t('overview.perSecond')}</span>}>
          <Chart
            label={t('overview.traffic')}
            look={props.look}
            data={lines.traffic}
            span={SHOWN}
            format={number}
            series={[
              { label: t('overview.requests'), color: 'accent', fill: true },
              { label: t('overview.failed'), color: 'bad' },
              { label: t('overview.limited'), color: 'warm' },
            ]}
          />
        </Panel>
        <Panel title={t('overview.latency')} aside={<span class="quiet">{t('overview.window')}</span>}>
          <Chart
            label={t('overview.latency')}
            look={props.look}
            data={lines.latency}
            span={SHOWN}
            format={(value) => formatMs(value, language)}
            series={[
              { label: t('overview.p50'), color: 'quiet' },
              { label: t('overview.p99'), color: 'violet', fill: true },
            ]}
          />
        </Panel>
        <Panel title={t('overview.device')} aside={<span class="quiet">{t('overview.busyShare')}</span>}>
          <Chart
            label={t('overview.busy')}
            look={props.look}
            data={[lines.device[0], lines.device[1] ?? []]}
            span={SHOWN}
            format={(value) => `${number(value)} %`}
            max={100}
            series={[{ label: t('overview.busy'), color: 'good', fill: true }]}
          />
          {latest.devices.map((device) => (
            <div class="device" key={device.name}>
              <span class="mono">{device.name}</span>
              <Bar share={device.slots === 0 ? 0 : device.busy_slots / device.slots} label={device.name} />
              <span class="quiet">{t('overview.slots', { busy: device.busy_slots, slots: device.slots })}</span>
              {device.overload > 1 && <Badge tone="bad">{t('overview.overload')}</Badge>}
            </div>
          ))}
        </Panel>
      </div>
      <Panel title={t('overview.models')}>
        {busy.length === 0 ? (
          <Empty>{t('overview.idle')}</Empty>
        ) : (
          <Table
            label={t('overview.models')}
            columns={columns}
            rows={busy}
            rowKey={(row) => `${row.model}/${row.version}`}
            href={(row) => hashOf('models', row.model)}
          />
        )}
        {busy.length > 0 && idle > 0 && <p class="quiet under">{t('overview.moreModels', { count: number(idle) })}</p>}
      </Panel>
    </Page>
  );
}
