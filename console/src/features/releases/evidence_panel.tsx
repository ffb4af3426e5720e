import { useSession, useTexts } from '../../app/context';
import type { TextKey } from '../../i18n/texts';
import { Chart } from '../../ui/chart';
import { formatMs, formatNumber } from '../../ui/format';
import { Badge, Panel } from '../../ui/parts';
import { isGuardrail, measureOf, nameOf, type Course } from './evidence';

const TITLES: Record<string, TextKey> = {
  error_rate: 'metric.error_rate',
  latency_p50: 'metric.latency_p50',
  latency_p99: 'metric.latency_p99',
  cost: 'metric.cost',
  max_error_rate: 'metric.max_error_rate',
  p99_objective: 'metric.p99_objective',
  min_likeness: 'metric.min_likeness',
  sample_ratio: 'metric.sample_ratio',
};

/** One test: both arms over time, its p against the line that decides, and what it says. */
export function EvidencePanel(props: { course: Course; look: string }) {
  const t = useTexts();
  const { language } = useSession();
  const { course } = props;
  const { arm, test } = nameOf(course.metric);
  const key = TITLES[test];
  const title = `${arm === '' ? '' : `${arm} · `}${key === undefined ? test.replace(/^custom:/, '') : t(key)}`;
  const measure = measureOf(course.metric);
  const format = (value: number) => {
    if (measure === 'seconds') return formatMs(1000 * value, language);
    if (measure === 'number') return formatNumber(value, language);
    return new Intl.NumberFormat(language, { style: 'percent', maximumSignificantDigits: 3 }).format(value);
  };
  const small = (value: number) => (value >= 0.001 ? new Intl.NumberFormat(language, { maximumSignificantDigits: 2 }).format(value) : value.toExponential(0).replace('e', 'E'));
  const { last } = course;
  const guard = isGuardrail(course.metric);
  const other = t(guard ? 'evidence.limit' : test === 'sample_ratio' ? 'evidence.expected' : 'evidence.baseline');
  const numbers = `${t('evidence.canary')} ${format(last.canary)}, ${other} ${format(last.baseline)}`;
  return (
    <Panel title={title} class="evidence" aside={<Badge tone={last.crossed ? 'bad' : last.canary_samples === 0 ? 'quiet' : 'good'}>{t(last.crossed ? 'evidence.crossed' : last.canary_samples === 0 ? 'evidence.waiting' : 'evidence.within')}</Badge>}>
      <p class="quiet under">{last.sentence}</p>
      <Chart
        label={`${title}: ${numbers}`}
        look={props.look}
        height={130}
        data={course.values}
        max={course.max}
        format={format}
        series={[
          { label: t('evidence.canary'), color: 'warm' },
          { label: other, color: guard ? 'bad' : 'quiet', dashed: guard },
          { label: t('evidence.interval'), color: 'warm', upTo: 4 },
          { label: t('evidence.interval'), color: 'warm', upTo: 3 },
        ]}
      />
      <Chart
        label={`${title}: p ${small(last.p_value)}, ${t('evidence.threshold')} ${small(last.threshold)}`}
        look={props.look}
        height={110}
        data={course.p}
        log={course.floor}
        format={small}
        series={[
          { label: t('evidence.pNow'), color: 'quiet' },
          { label: t('evidence.p'), color: 'violet', stepped: true },
          { label: t('evidence.threshold'), color: 'bad', dashed: true },
        ]}
      />
    </Panel>
  );
}
