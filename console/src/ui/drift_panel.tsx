import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { Drift, DriftList, DriftTensor } from '../api/types';
import { useSession, useTexts } from '../app/context';
import { useAction } from '../app/use_action';
import { useData } from '../app/use_data';
import { formatNumber, formatTime } from './format';
import { binsOf } from './histogram';
import { Badge, Choice, Confirm, Empty, Failure, Panel } from './parts';

/** What a model's versions are asked and answer, against what they were; nothing where nobody looks. Needs `observe`. */
export function DriftPanel(props: { model: string; version?: string }) {
  const t = useTexts();
  const { client } = useSession();
  const [chosen, setChosen] = useState('');
  const { data, problem, reload } = useData(
    async (signal) => {
      const list = (await client.get<DriftList>(`/v1/drift?model=${encodeURIComponent(props.model)}`, signal)).data;
      const versions = list.map((one) => String(one.version)).filter((one) => props.version === undefined || one === props.version);
      const version = versions.find((one) => one === chosen) ?? versions[0];
      if (version === undefined) return null;
      return { versions, drift: await client.get<Drift>(`/v1/drift/${encodeURIComponent(props.model)}/${version}`, signal) };
    },
    [client, props.model, props.version ?? '', chosen],
    5000,
  );
  if (problem !== null && problem.reason !== 'unknown_url' && problem.status !== 404) {
    return (
      <Panel title={t('drift.title')}>
        <Failure problem={problem} retry={reload} />
      </Panel>
    );
  }
  if (data === null) return null;
  const { drift, versions } = data;
  const choice = versions.length > 1 && <Choice label={t('models.version')} value={String(drift.version)} options={versions.map((one) => [one, one] as const)} onChange={setChosen} />;
  return <DriftView drift={drift} reload={reload} choice={choice} />;
}

/** A version's tensors against their reference. `plot` adds to each what a room knows besides. */
export function DriftView(props: { drift: Drift; reload: () => void; choice?: ComponentChildren; plot?: (tensor: DriftTensor) => ComponentChildren }) {
  const t = useTexts();
  const { client, can, language } = useSession();
  const [asking, setAsking] = useState(false);
  const { busy, failed, run } = useAction(props.reload);
  const { drift } = props;
  const reset = () => run(() => client.post(`/v1/drift/${encodeURIComponent(drift.model)}/${drift.version}/reset`, {}));
  return (
    <Panel
      title={t('drift.title')}
      aside={
        <span class="actions">
          {props.choice}
          <Badge tone={drift.drifted_since === null ? 'good' : 'bad'}>
            {drift.drifted_since === null ? t('drift.steady') : t('drift.since', { time: formatTime(drift.drifted_since, language) })}
          </Badge>
          {can('operate') && (
            <button type="button" class="small" disabled={busy} aria-busy={busy} onClick={() => setAsking(true)}>
              {t('drift.reset')}
            </button>
          )}
        </span>
      }
    >
      {failed !== null && <Failure problem={failed} />}
      <p class="quiet under">{t('drift.hint', { threshold: formatNumber(drift.threshold, language) })}</p>
      {drift.tensors.length === 0 && <Empty>{t('drift.nothing')}</Empty>}
      <div class="charts">
        {drift.tensors.map((tensor) => (
          <Tensor key={`${tensor.direction} ${tensor.name}`} tensor={tensor} threshold={drift.threshold}>
            {props.plot?.(tensor)}
          </Tensor>
        ))}
      </div>
      {asking && <Confirm question={t('drift.resetAsk', { model: drift.model, version: drift.version })} action={t('drift.reset')} onYes={() => void reset()} onClose={() => setAsking(false)} />}
    </Panel>
  );
}

function Tensor(props: { tensor: DriftTensor; threshold: number; children?: ComponentChildren }) {
  const t = useTexts();
  const { language } = useSession();
  const { tensor } = props;
  const number = (value: number) => new Intl.NumberFormat(language, { maximumSignificantDigits: 3 }).format(value);
  const away = tensor.psi !== null && tensor.psi >= props.threshold;
  const words = tensor.psi === null ? t('drift.few') : `PSI ${number(tensor.psi)}, KS ${tensor.ks === null ? '–' : number(tensor.ks)}`;
  const edges = tensor.histogram?.edges ?? [];
  const bins = tensor.histogram === undefined ? [] : binsOf(tensor.histogram, number);
  return (
    <div class="tensor">
      <p>
        <span class="mono">{tensor.name}</span> <span class="quiet">{t(`drift.${tensor.direction}`)}</span> <Badge tone={tensor.psi === null ? 'quiet' : away ? 'bad' : 'good'}>{words}</Badge>
      </p>
      {bins.length > 0 && (
        <div class="histogram" role="img" aria-label={`${tensor.name}: ${words}`}>
          {bins.map((bin, at) => (
            <div key={at} title={bin.name}>
              <span class="fill-quiet" style={{ height: `${100 * bin.reference}%` }} />
              <span class={away ? 'fill-bad' : 'fill-accent'} style={{ height: `${100 * bin.now}%` }} />
            </div>
          ))}
        </div>
      )}
      {edges.length > 0 && (
        <p class="edges quiet" aria-hidden="true">
          <span>≤ {number(edges[0] ?? 0)}</span>
          <span>{'> '}{number(edges.at(-1) ?? 0)}</span>
        </p>
      )}
      {props.children}
      <p class="quiet under">
        {t('drift.calls', { calls: formatNumber(tensor.calls, language), source: tensor.reference.source, reference: formatNumber(tensor.reference.calls, language), time: formatTime(tensor.reference.made_at, language) })}
        {tensor.not_finite > 0 && <span class="bad"> {t('drift.notFinite', { count: formatNumber(tensor.not_finite, language) })}</span>}
      </p>
    </div>
  );
}
