import { useState } from 'preact/hooks';
import type { PipelineRun, PipelineRunEvents, PipelineStage } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import { formatNumber, formatSpan, formatTime, shortId } from '../../ui/format';
import { Badge, Confirm, Failure, Field, Loading, Page, Panel, ReadOnly, Time } from '../../ui/parts';
import { RunStateBadge } from './pipelines_room';
import { actionsOf, gateText, isEnded, toneOf, waitingStage, type RunAction } from './run';

const LIVE_MS = 1000;

/** A run as it goes: its stages with their gates, and what somebody must decide. */
export function RunPage(props: { id: string }) {
  const t = useTexts();
  const { client, can, language } = useSession();
  const [note, setNote] = useState('');
  const [asking, setAsking] = useState<'cancel' | 'reject' | null>(null);
  const [over, setOver] = useState(false);
  const path = `/v1/pipeline-runs/${encodeURIComponent(props.id)}`;
  const { data, problem, at, reload } = useData(
    async (signal) => {
      const [run, events] = await Promise.all([client.get<PipelineRun>(path, signal), client.get<PipelineRunEvents>(`${path}/events?limit=1000`, signal)]);
      setOver(isEnded(run));
      return { run, events: events.data };
    },
    [client, path],
    over ? 0 : LIVE_MS,
  );
  const { busy, failed, run: attempt } = useAction(reload);
  const title = (
    <>
      <a href={hashOf('pipelines')}>{t('room.pipelines')}</a> /{' '}
      {data !== null && (
        <>
          <a class="mono" href={hashOf('pipelines', `p/${data.run.pipeline}`)}>
            {data.run.pipeline}
          </a>{' '}
          /{' '}
        </>
      )}
      <span class="mono">{shortId(props.id)}</span>
    </>
  );
  if (data === null) return <Page title={title}>{problem === null ? <Loading /> : <Failure problem={problem} retry={reload} />}</Page>;
  const { run, events } = data;
  const waiting = waitingStage(run);
  const offered = actionsOf(run, can);
  const act = (action: RunAction) =>
    attempt(async () => {
      const decides = waiting !== null && (action === 'approve' || action === 'reject');
      await client.post<PipelineRun>(`${path}/${action}`, { ...(decides && { stage: waiting.name }), ...(note.trim() !== '' && { note: note.trim() }) });
      setNote('');
      setOver(false);
    });
  return (
    <Page
      title={title}
      actions={
        <>
          <RunStateBadge state={run.state} />
          {!isEnded(run) && problem === null && <Badge tone="good">{t('app.live')}</Badge>}
          <ReadOnly />
        </>
      }
    >
      {failed !== null && <Failure problem={failed} />}
      {problem !== null && <Failure problem={problem} retry={reload} since={at} />}
      {run.state === 'failed' && (
        <div class="failure" role="note">
          <p>{run.message}</p>
          {run.reason !== null && <p class="quiet mono">{t('error.reason', { reason: run.reason })}</p>}
        </div>
      )}
      <Panel title={t('pipelines.stages')} aside={`${run.trigger.kind} · ${run.trigger.who} · ${formatSpan(run.started_at, run.ended_at, Date.now(), language)}`}>
        <ol class="flow" aria-label={t('pipelines.stages')}>
          {run.stages.map((stage) => (
            <StageCard key={stage.name} stage={stage} />
          ))}
        </ol>
        {(run.version !== null || run.release !== null) && (
          <p>
            {run.version !== null && <a href={hashOf('registry', `${run.model}/${run.version}`)}>{t('pipelines.version', { version: run.version })}</a>}{' '}
            {run.release !== null && <a href={hashOf('releases', run.release)}>{t('registry.release')}</a>}
          </p>
        )}
        {offered.length > 0 && (
          <div class="release-foot">
            {(offered.includes('approve') || offered.includes('retry')) && (
              <Field label={t('pipelines.note')}>
                <input value={note} maxLength={512} onInput={(event) => setNote(event.currentTarget.value)} />
              </Field>
            )}
            <div class="actions">
              {offered.map((action) => (
                <button
                  key={action}
                  type="button"
                  class={action === 'approve' ? 'primary' : action === 'retry' ? '' : 'danger'}
                  disabled={busy}
                  aria-busy={busy}
                  onClick={() => (action === 'cancel' || action === 'reject' ? setAsking(action) : void act(action))}
                >
                  {t(`pipelines.${action}`)}
                </button>
              ))}
            </div>
          </div>
        )}
      </Panel>
      <Panel title={t('releases.timeline')}>
        <ol class="timeline">
          {events.map((event, at) => (
            <li key={at}>
              <span class="quiet">
                <Time at={event.at} />
              </span>
              <strong>{event.kind}</strong>
              {event.stage !== null && <span class="mono">{event.stage}</span>}
              <span class="quiet">{event.who}</span>
              {event.text !== '' && <p>{event.text}</p>}
            </li>
          ))}
        </ol>
      </Panel>
      {asking !== null && (
        <Confirm
          question={asking === 'cancel' ? t('pipelines.cancelAsk') : t('pipelines.rejectAsk', { stage: waiting?.name ?? '' })}
          action={t(`pipelines.${asking}`)}
          onYes={() => void act(asking)}
          onClose={() => setAsking(null)}
        />
      )}
    </Page>
  );
}

function StageCard(props: { stage: PipelineStage }) {
  const t = useTexts();
  const { language } = useSession();
  const { stage } = props;
  const tone = toneOf(stage.state);
  const { approval } = stage;
  return (
    <li class={tone}>
      <strong class="mono">{stage.name}</strong>
      <span class="quiet">{t(`stageKind.${stage.kind}`)}</span>
      <span>
        <Badge tone={tone === 'asks' ? 'busy' : tone}>{t(`stage.${stage.state}`)}</Badge>{' '}
        {stage.attempt > 1 && <span class="quiet">{t('pipelines.attempt', { attempt: stage.attempt, max: stage.max_attempts })}</span>}
      </span>
      {stage.retry_at !== null && stage.state === 'retrying' && <span class="quiet">{t('pipelines.retryAt', { time: formatTime(stage.retry_at, language) })}</span>}
      {stage.gates.map((gate) => (
        <span key={gate.gate} class={`gate mono ${gate.outcome}`}>
          {gateText(gate, (value) => formatNumber(value, language))}
        </span>
      ))}
      {Object.entries(stage.metrics).map(([name, value]) => (
        <span key={name} class="gate mono quiet">
          {name} {formatNumber(value, language)}
        </span>
      ))}
      {approval !== null && approval.state === 'waiting' && <span>{t('pipelines.waitsFor', { role: approval.role })}</span>}
      {approval !== null && approval.state === 'approved' && <span class="quiet">{t('pipelines.approvedBy', { by: approval.by ?? '' })}</span>}
      {approval !== null && approval.state === 'rejected' && <span class="bad">{t('pipelines.rejectedBy', { by: approval.by ?? '' })}</span>}
      {approval !== null && approval.state === 'expired' && <span class="bad">{t('pipelines.expired')}</span>}
      {approval !== null && approval.note !== '' && <span class="quiet">{approval.note}</span>}
      {stage.error !== null && (
        <span class="bad">
          {stage.error.message} <span class="mono quiet">{stage.error.reason}</span>
        </span>
      )}
      {stage.job !== null && (
        <a class="mono" href={hashOf('jobs', stage.job)}>
          {shortId(stage.job)}
        </a>
      )}
    </li>
  );
}
