import { useState } from 'preact/hooks';
import type { Problem } from '../../api/problem';
import type { Release, RepositoryIndex } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import type { TextKey } from '../../i18n/texts';
import { Choice, Failure, Field, Locked, Page, Panel } from '../../ui/parts';
import { emptyDraft, fieldOf, specOf, strategies, type Draft, type DraftField } from './spec';

/** Begins a release. What the server refuses stands, in its words, at the field that it is about. */
export function ReleaseForm(props: { model: string; candidate: string }) {
  const t = useTexts();
  const { client, can } = useSession();
  const [draft, setDraft] = useState<Draft>({ ...emptyDraft, model: props.model, candidate: props.candidate });
  const { busy, failed: refused, run } = useAction();
  const index = useData(() => client.post<RepositoryIndex>('/v2/repository/index', {}), [client]);
  if (!can('operate')) {
    return (
      <Page title={t('releases.begin')}>
        <Locked scope="operate" />
      </Page>
    );
  }
  const models = [...new Set((index.data ?? []).map((one) => one.name).filter((name) => !name.includes('/')))].sort();
  const versions = (index.data ?? []).filter((one) => one.name === draft.model).map((one) => one.version ?? '').filter((one) => one !== '');
  const field = refused === null ? null : fieldOf(refused.reason, refused.message);

  const begin = () =>
    run(async () => {
      const made = await client.post<Release>('/v1/releases', specOf(draft));
      location.hash = hashOf('releases', made.id);
    });
  type TextField = Exclude<DraftField, 'strategy' | 'automatic'>;
  const input = (name: TextField, label: TextKey, hint?: TextKey, more: { list?: string; required?: boolean; inputMode?: 'numeric' } = {}) => (
    <div class={field === name ? 'refused' : ''}>
      <Field label={t(label)} {...(hint !== undefined && { hint: t(hint) })}>
        <input
          name={name}
          value={draft[name]}
          autocomplete="off"
          aria-invalid={field === name}
          aria-describedby={field === name ? 'refusal' : undefined}
          onInput={(event) => {
            const { value } = event.currentTarget;
            setDraft((now) => ({ ...now, [name]: value }));
          }}
          {...(more as object)} // The types have `list` of some kinds of fields only.
        />
      </Field>
      {field === name && <Refusal problem={refused} />}
    </div>
  );
  return (
    <Page
      title={
        <>
          <a href={hashOf('releases')}>{t('room.releases')}</a> / {t('releases.begin')}
        </>
      }
    >
      {refused !== null && field === null && <Failure problem={refused} />}
      <Panel class="narrow">
        <form
          class="form"
          onSubmit={(event) => {
            event.preventDefault();
            void begin();
          }}
        >
          <Choice label={t('releases.strategy')} value={draft.strategy} options={strategies.map((one) => [one, t(`strategy.${one}`)] as const)} onChange={(strategy) => setDraft((now) => ({ ...now, strategy }))} />
          <p class="quiet">{t(`strategyHint.${draft.strategy}`)}</p>
          {field === 'strategy' && <Refusal problem={refused} />}
          <div class="row">
            {input('model', 'models.model', undefined, { list: 'release-models', required: true })}
            {draft.strategy !== 'ab' && input('candidate', 'releases.candidate', undefined, { list: 'release-versions', inputMode: 'numeric' })}
            {input('stable', 'releases.stable', 'releases.stableHint', { list: 'release-versions', inputMode: 'numeric' })}
          </div>
          <datalist id="release-models">
            {models.map((one) => (
              <option key={one} value={one} />
            ))}
          </datalist>
          <datalist id="release-versions">
            {versions.map((one) => (
              <option key={one} value={one} />
            ))}
          </datalist>
          {draft.strategy === 'canary' && (
            <>
              {input('steps', 'releases.steps', 'releases.stepsHint')}
              <div class="row">
                {input('stepSeconds', 'releases.stepSeconds')}
                {input('minCalls', 'releases.minCalls')}
              </div>
            </>
          )}
          {draft.strategy === 'ab' && (
            <div class={field === 'arms' ? 'refused' : ''}>
              <Field label={t('releases.arms')} hint={t('releases.armsHint')}>
                <textarea
                  name="arms"
                  rows={3}
                  value={draft.arms}
                  aria-invalid={field === 'arms'}
                  aria-describedby={field === 'arms' ? 'refusal' : undefined}
                  placeholder={'control 1 50\nnew 2 50'}
                  onInput={(event) => {
                    const { value } = event.currentTarget;
                    setDraft((now) => ({ ...now, arms: value }));
                  }}
                />
              </Field>
              {field === 'arms' && <Refusal problem={refused} />}
            </div>
          )}
          {draft.strategy === 'shadow' && (
            <div class="row">
              {input('shadowShare', 'releases.shadowShare')}
              {input('likeness', 'releases.likeness', 'releases.likenessHint')}
            </div>
          )}
          <label class="check">
            <input type="checkbox" checked={draft.automatic} onChange={() => setDraft((now) => ({ ...now, automatic: !now.automatic }))} />
            {t('releases.automatic')}
          </label>
          <details>
            <summary>{t('play.more')}</summary>
            <div class="row">
              {input('maxErrors', 'releases.maxErrors', 'releases.byDefault1')}
              {input('p99', 'releases.p99')}
              {input('settleMinutes', 'releases.settle', 'releases.byDefault10')}
              {input('sticky', 'route.sticky', 'releases.stickyHint')}
            </div>
          </details>
          <div class="actions">
            <button type="submit" class="primary" aria-busy={busy} disabled={busy || draft.model.trim() === ''}>
              {t('releases.begin')}
            </button>
            <a href={hashOf('releases')}>{t('app.close')}</a>
          </div>
        </form>
      </Panel>
    </Page>
  );
}

function Refusal(props: { problem: Problem | null }) {
  if (props.problem === null) return null;
  return (
    <p id="refusal" class="refusal" role="alert">
      {props.problem.message} <span class="quiet mono">{props.problem.reason}</span>
    </p>
  );
}
