import { artifactAddress, isActive, isPartial, kindOf } from '../api/artifacts';
import type { Artifact, Job } from '../api/types';
import { useSession, useTexts } from '../app/context';
import { formatBytes } from './format';
import { Badge, Bar } from './parts';
import type { TextKey } from '../i18n/texts';

const TONES = { scheduled: 'quiet', queued: 'quiet', running: 'busy', succeeded: 'good', failed: 'bad', cancelled: 'quiet' } as const;

export function Status(props: { job: Job }) {
  const t = useTexts();
  return <Badge tone={TONES[props.job.status]}>{t(`status.${props.job.status}`)}</Badge>;
}

const KINDS: Record<string, TextKey> = { inference: 'kind.inference', image: 'kind.image', storyboard: 'kind.storyboard' };

/** The word for a kind; one that the console does not know keeps its name. */
export function useKindName(): (kind: string) => string {
  const t = useTexts();
  return (kind) => {
    const key = KINDS[kind];
    return key === undefined ? kind : t(key);
  };
}

export function JobProgress(props: { job: Job }) {
  const t = useTexts();
  const { job } = props;
  if (!isActive(job)) return null;
  return (
    <div class="job-progress">
      <Bar share={job.progress} label={t('jobs.progress')} />
      <span class="quiet">{job.cancel_requested ? t('jobs.cancelling') : job.stage}</span>
    </div>
  );
}

/** Pictures and films as themselves, the rest as a list of files. */
export function Files(props: { artifacts: readonly Artifact[] }) {
  const t = useTexts();
  const { language } = useSession();
  const shown = props.artifacts.filter((one) => !isPartial(one.name));
  const pictures = shown.filter((one) => kindOf(one.name) === 'picture' && !/^(sprites|thumbnail)/.test(one.name));
  const films = shown.filter((one) => kindOf(one.name) === 'film');
  return (
    <>
      {films.map((film) => (
        <video key={film.key} controls preload="metadata" src={artifactAddress(film.url)} aria-label={film.name} />
      ))}
      {pictures.length > 0 && (
        <ul class="pictures">
          {pictures.map((one) => (
            <li key={one.key}>
              <a href={artifactAddress(one.url)} target="_blank" rel="noreferrer">
                <img src={artifactAddress(one.url)} alt={one.name} loading="lazy" />
              </a>
            </li>
          ))}
        </ul>
      )}
      <ul class="files">
        {shown.map((one) => (
          <li key={one.key}>
            <a class="mono" href={artifactAddress(one.url)} download={one.name} aria-label={`${t('app.download')} ${one.name}`}>
              {one.name}
            </a>{' '}
            <span class="quiet">{formatBytes(one.bytes, language)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
