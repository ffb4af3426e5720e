import { useEffect, useState } from 'preact/hooks';
import { artifactAddress, isActive, isPartial } from '../../api/artifacts';
import { paintersOf } from '../../api/model_list';
import type { Job, RepositoryIndex } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { useAction } from '../../app/use_action';
import { useData } from '../../app/use_data';
import { useJob } from '../../app/use_job';
import { useParam } from '../../app/use_param';
import { shortId } from '../../ui/format';
import { Files, JobProgress, Status } from '../../ui/job_view';
import { Choice, Empty, Failure, Field, Loading, Page, Panel } from '../../ui/parts';
import { filmJob, pictureJob, type FilmForm, type PictureForm, type Wrong } from './request';

const STYLES = ['technology', 'literary', 'fresh', 'festive', 'minimal'] as const;
const ASPECTS = ['landscape', 'portrait', 'square'] as const;
// Each that is being made holds a connection, of which a browser opens six.
const SHOWN = 3;
const TIERS = ['free', 'urgent', 'paid'] as const;

const FIRST_PICTURE: PictureForm = { model: '', prompt: '', negative: '', size: '', count: 1, steps: '', guidance: '', seed: '', tier: 'free' };
const FIRST_FILM: FilmForm = {
  model: '',
  shots: '',
  seconds: 3,
  style: 'technology',
  resolution: '720p',
  aspect: 'landscape',
  steps: '',
  seed: '',
  tier: 'free',
};

/** What became of the last request: its progress, what can be seen so far, the result. */
function Made(props: { id: string }) {
  const t = useTexts();
  const { client } = useSession();
  const { job, artifacts, problem, reload } = useJob(client, props.id);
  const partial = artifacts.filter((one) => isPartial(one.name)).at(-1);
  if (job === null) return problem === null ? <Loading /> : <Failure problem={problem} retry={reload} />;
  return (
    <div class="made" aria-live="polite">
      <p class="made-head">
        <Status job={job} />
        <a class="mono" href={hashOf('jobs', job.id)}>
          {t('play.openJob', { id: shortId(job.id) })}
        </a>
      </p>
      <JobProgress job={job} />
      {job.error && (
        <div class="failure" role="alert">
          {t('jobs.error', { message: job.error.message })}
        </div>
      )}
      {isActive(job) && partial && <img class="partial" src={artifactAddress(partial.url)} alt="" />}
      {!isActive(job) && artifacts.length > 0 && <Files artifacts={artifacts} />}
    </div>
  );
}

export function PlaygroundRoom() {
  const t = useTexts();
  const { client } = useSession();
  const [what, setWhat] = useParam<'picture' | 'film'>('make', 'picture', ['picture', 'film']);
  const [picture, setPicture] = useState(FIRST_PICTURE);
  const [film, setFilm] = useState(FIRST_FILM);
  const { busy, failed, run } = useAction();
  const [wrong, setWrong] = useState<Wrong | null>(null); // With the form itself.
  const [made, setMade] = useState<string[]>([]); // The newest first.
  const models = useData(async () => paintersOf(await client.post<RepositoryIndex>('/v2/repository/index', {})), [client]);
  const first = models.data?.[0] ?? '';
  useEffect(() => {
    setPicture((form) => (form.model === '' ? { ...form, model: first } : form));
    setFilm((form) => (form.model === '' ? { ...form, model: first } : form));
  }, [first]);

  const make = async () => {
    setWrong(null);
    const body = what === 'picture' ? pictureJob(picture) : filmJob(film);
    if (typeof body === 'string') {
      setWrong(body);
      return;
    }
    await run(async () => {
      const job = await client.post<Job>('/v1/jobs', body, { 'Idempotency-Key': `"${crypto.randomUUID()}"` });
      setMade((list) => [job.id, ...list].slice(0, SHOWN));
    });
  };

  if (models.problem !== null) {
    return (
      <Page title={t('room.playground')}>
        <Failure problem={models.problem} retry={models.reload} />
      </Page>
    );
  }
  if (models.data === null) {
    return (
      <Page title={t('room.playground')}>
        <Loading />
      </Page>
    );
  }
  if (models.data.length === 0) {
    return (
      <Page title={t('room.playground')}>
        <Empty>{t('play.noModel')}</Empty>
      </Page>
    );
  }

  const model = (value: string, set: (value: string) => void) => (
    <Field label={t('play.model')}>
      <select name="model" value={value} onChange={(event) => set(event.currentTarget.value)}>
        {models.data?.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </Field>
  );
  const text = (label: string, name: string, value: string, set: (value: string) => void, hint: string) => (
    <Field label={label}>
      <input name={name} inputMode="decimal" value={value} placeholder={hint} onInput={(event) => set(event.currentTarget.value)} />
    </Field>
  );
  const tier = (value: string, set: (value: string) => void) => (
    <Field label={t('play.tier')}>
      <select name="tier" value={value} onChange={(event) => set(event.currentTarget.value)}>
        {TIERS.map((one) => (
          <option key={one} value={one}>
            {t(`tier.${one}`)}
          </option>
        ))}
      </select>
    </Field>
  );
  const choose = (label: string, name: string, value: string, options: readonly (readonly [string, string])[], set: (value: string) => void) => (
    <Field label={label}>
      <select name={name} value={value} onChange={(event) => set(event.currentTarget.value)}>
        {options.map(([one, shown]) => (
          <option key={one} value={one}>
            {shown}
          </option>
        ))}
      </select>
    </Field>
  );
  const byDefault = t('play.byDefault');
  const change = <T,>(set: (change: (form: T) => T) => void) => (part: Partial<T>) => set((form) => ({ ...form, ...part }));
  const setP = change(setPicture);
  const setF = change(setFilm);
  return (
    <Page
      title={t('room.playground')}
      actions={
        <Choice
          label={t('jobs.kind')}
          value={what}
          options={[
            ['picture', t('play.picture')],
            ['film', t('play.video')],
          ]}
          onChange={setWhat}
        />
      }
    >
      <div class="split playground">
        <Panel>
          <form
            class="form"
            onSubmit={(event) => {
              event.preventDefault();
              void make();
            }}
          >
            {what === 'picture' ? (
              <>
                {model(picture.model, (value) => setP({ model: value }))}
                <Field label={t('play.prompt')}>
                  <textarea
                    name="prompt"
                    rows={3}
                    value={picture.prompt}
                    placeholder={t('play.promptHint')}
                    onInput={(event) => setP({ prompt: event.currentTarget.value })}
                    onKeyDown={(event) => {
                      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void make();
                    }}
                  />
                </Field>
                <Field label={t('play.negative')}>
                  <input name="negative" value={picture.negative} onInput={(event) => setP({ negative: event.currentTarget.value })} />
                </Field>
                <div class="row">
                  {text(t('play.size'), 'size', picture.size, (value) => setP({ size: value }), byDefault)}
                  <Field label={t('play.count')}>
                    <input name="count" type="number" min={1} max={10} value={picture.count} onInput={(event) => setP({ count: Number(event.currentTarget.value) || 1 })} />
                  </Field>
                  {text(t('play.seed'), 'seed', picture.seed, (value) => setP({ seed: value }), t('play.seedHint'))}
                </div>
                <details>
                  <summary>{t('play.more')}</summary>
                  <div class="row">
                    {text(t('play.steps'), 'steps', picture.steps, (value) => setP({ steps: value }), byDefault)}
                    {text(t('play.guidance'), 'guidance', picture.guidance, (value) => setP({ guidance: value }), byDefault)}
                    {tier(picture.tier, (value) => setP({ tier: value }))}
                  </div>
                </details>
              </>
            ) : (
              <>
                {model(film.model, (value) => setF({ model: value }))}
                <Field label={t('play.shots')}>
                  <textarea name="shots" rows={5} value={film.shots} placeholder={t('play.promptHint')} onInput={(event) => setF({ shots: event.currentTarget.value })} />
                </Field>
                <div class="row">
                  <Field label={t('play.shotSeconds')}>
                    <input name="seconds" type="number" min={0.5} max={60} step={0.5} value={film.seconds} onInput={(event) => setF({ seconds: Number(event.currentTarget.value) || 1 })} />
                  </Field>
                  {choose(t('play.style'), 'style', film.style, STYLES.map((one) => [one, t(`style.${one}`)] as const), (value) => setF({ style: value }))}
                  {choose(t('play.aspect'), 'aspect', film.aspect, ASPECTS.map((one) => [one, t(`aspect.${one}`)] as const), (value) => setF({ aspect: value }))}
                </div>
                <details>
                  <summary>{t('play.more')}</summary>
                  <div class="row">
                    {choose(t('play.resolution'), 'resolution', film.resolution, [['720p', '720p'], ['1080p', '1080p']], (value) => setF({ resolution: value }))}
                    {text(t('play.steps'), 'steps', film.steps, (value) => setF({ steps: value }), byDefault)}
                    {text(t('play.seed'), 'seed', film.seed, (value) => setF({ seed: value }), t('play.seedHint'))}
                    {tier(film.tier, (value) => setF({ tier: value }))}
                  </div>
                </details>
              </>
            )}
            {wrong !== null && (
              <div class="failure" role="alert">
                {t(wrong)}
              </div>
            )}
            {failed !== null && <Failure problem={failed} />}
            <button type="submit" class="primary" disabled={busy} aria-busy={busy}>
              {busy ? t('play.making') : t('play.make')}
            </button>
          </form>
        </Panel>
        <Panel title={t('play.result')}>
          {made.length === 0 && <Empty>{t('play.nothing')}</Empty>}
          {made.map((id) => (
            <Made key={id} id={id} />
          ))}
        </Panel>
      </div>
    </Page>
  );
}
