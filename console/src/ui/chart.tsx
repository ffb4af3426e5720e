import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export interface ChartSeries {
  label: string;
  color: ColorName;
  fill?: boolean;
  bars?: boolean;
  dashed?: boolean; // A limit.
  stepped?: boolean; // Holds until the next value.
  upTo?: number; // Faded up to the series of this number, the first being 1; drawn without a line, and not in the legend.
}

export type ColorName = 'accent' | 'bad' | 'warm' | 'good' | 'violet' | 'quiet' | 'line';

/** Time in seconds, then one list for each series; null: no value. */
export type ChartData = [number[], ...(number | null)[][]];

function colorOf(name: ColorName): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function faded(color: string): string {
  return `color-mix(in srgb, ${color} 14%, transparent)`;
}

/** Lines over time. Drawn anew when the appearance changes; as wide as its place. */
export function Chart(props: {
  label: string;
  series: readonly ChartSeries[];
  data: ChartData;
  format: (value: number) => string;
  height?: number;
  look: string; // Changes with the appearance and the language.
  max?: number;
  log?: number; // A logarithmic scale from this to 1.
  time?: (seconds: number) => string;
  span?: number; // Seconds that are shown, up to the last; otherwise all there are.
}) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newest = useRef(props);
  newest.current = props;
  const shape = `${props.look} ${props.series.map((one) => one.label + one.color).join(',')}`;
  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const { series, height = 150, log } = newest.current;
    const text = colorOf('quiet');
    const grid = { stroke: colorOf('line'), width: 1 };
    const font = '11px system-ui, sans-serif';
    const bars = uPlot.paths.bars?.({ size: [0.7, 40], align: 0 });
    const stepped = uPlot.paths.stepped?.({ align: 1 });
    const bands = series.flatMap((one, at): uPlot.Band[] => (one.upTo === undefined ? [] : [{ series: [one.upTo, at + 1], fill: faded(colorOf(one.color)) }]));
    const made = new uPlot(
      {
        width: Math.max(element.clientWidth, 80),
        height,
        bands,
        legend: { show: series.length > 1 },
        cursor: { points: { size: 6 }, y: false, drag: { x: false, y: false } },
        scales: { x: { time: true, range: (_u, low, high) => [Math.min(low, newest.current.span ? high - newest.current.span : low), high] }, y: scaleOf(log, () => newest.current.max) },
        axes: [
          { stroke: text, grid: { show: false }, ticks: { show: false }, font, size: 26, space: newest.current.span ? 45 : 70, values: (_u, at) => ticksOf(at, newest.current.time) },
          { ...(log !== undefined && { splits: () => decadesOf(log) }), stroke: text, grid, ticks: { show: false }, font, size: 58, space: 36, values: (_u, at) => at.map((v) => (v === null ? null : newest.current.format(v))) },
        ],
        series: [
          { value: (_u, s) => (s === null ? '' : (newest.current.time?.(s) ?? clockOf(s))) },
          ...series.map((one) => {
            const color = colorOf(one.color);
            const drawn: uPlot.Series = {
              label: one.label,
              stroke: color,
              width: 1.5,
              points: { show: (u) => u.data[0].length < 3 && one.upTo === undefined && !one.bars, size: 5 },
              spanGaps: false,
              value: (_u, v) => (v === null || v === undefined ? '' : newest.current.format(v)),
            };
            if (one.upTo !== undefined) {
              drawn.stroke = 'transparent';
              drawn.class = 'unnamed';
            }
            if (one.dashed) drawn.dash = [5, 4];
            if (one.stepped && stepped) drawn.paths = stepped;
            if (one.fill) drawn.fill = faded(color);
            if (one.bars && bars) {
              drawn.paths = bars;
              drawn.fill = color;
              drawn.width = 0;
            }
            return drawn;
          }),
        ],
      },
      newest.current.data,
      element,
    );
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: Math.max(element.clientWidth, 80), height }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(props.data), [props.data]);
  return <div class="chart" ref={place} role="img" aria-label={props.label} />;
}

function scaleOf(log: number | undefined, max: () => number | undefined): uPlot.Scale {
  if (log !== undefined) return { distr: 3, log: 10, range: () => [log, 1] };
  return { range: (_u, _low, high) => [0, max() ?? (high > 0 ? high * 1.15 : 1)] };
}

/** Powers of ten from `lowest` to 1, four at most. */
function decadesOf(lowest: number): number[] {
  const count = Math.round(-Math.log10(lowest));
  const step = Math.ceil(count / 3);
  return Array.from({ length: Math.floor(count / step) + 1 }, (_, at) => 10 ** (-at * step)).reverse();
}

/** Whole minutes need no seconds. */
function ticksOf(at: readonly number[], time: ((seconds: number) => string) | undefined): string[] {
  if (time !== undefined) return at.map(time);
  const minutes = at.every((seconds) => seconds % 60 === 0);
  return at.map((seconds) => (minutes ? clockOf(seconds).slice(0, 5) : clockOf(seconds)));
}

function clockOf(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}
