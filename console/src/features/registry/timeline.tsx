import { useMemo } from 'preact/hooks';
import type { RegistryEvent } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { formatTime } from '../../ui/format';
import { Empty } from '../../ui/parts';
import { lanesOf, placeIn, reachOf } from './served';

const COLORS = ['accent', 'warm', 'violet', 'good'] as const;

/** What names stood for, and which versions were served, over time. */
export function ServedTimeline(props: { events: readonly RegistryEvent[]; now: number }) {
  const t = useTexts();
  const { language } = useSession();
  const lanes = useMemo(() => lanesOf(props.events, props.now), [props.events, props.now]);
  const reach = reachOf(lanes);
  if (reach === null) return <Empty>{t('registry.neverServed')}</Empty>;
  const time = (at: number) => formatTime(new Date(at).toISOString(), language);
  return (
    <div class="lanes">
      {lanes.map((lane) => {
        const name = lane.kind === 'alias' ? lane.name : t('registry.served', { version: lane.name });
        return (
          <div key={`${lane.kind} ${lane.name}`} class="lane">
            <span class={lane.kind === 'alias' ? 'mono' : 'quiet'}>{name}</span>
            <div class="lane-track" role="img" aria-label={`${name}: ${lane.spans.map((span) => `${span.version}, ${time(span.from)} – ${time(span.to)}`).join('; ')}`}>
              {lane.spans.map((span) => {
                const { left, width } = placeIn(span, reach);
                return (
                  <div
                    key={span.from}
                    class={`lane-span fill-${COLORS[span.version % COLORS.length]}`}
                    style={{ left: `${left}%`, width: `${width}%` }}
                    title={`${span.version}: ${time(span.from)} – ${time(span.to)}`}
                  >
                    {width > 4 && span.version}
                  </div>
                );
              })}
            </div>
          </div>
        );
      })}
      <div class="lane">
        <span />
        <div class="lane-times quiet">
          <span>{time(reach.from)}</span>
          <span>{time(reach.to)}</span>
        </div>
      </div>
    </div>
  );
}
