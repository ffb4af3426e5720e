import { useEffect, useState } from 'preact/hooks';
import { artifactAddress, showpieces } from '../../api/artifacts';
import type { Client } from '../../api/client';
import { asProblem, type Problem } from '../../api/problem';
import type { Artifact, Artifacts, Job, Jobs } from '../../api/types';
import { useSession, useTexts } from '../../app/context';
import { hashOf } from '../../app/route';
import { formatTime, shortId } from '../../ui/format';
import { useKindName } from '../../ui/job_view';
import { Empty, Failure, Loading, Page } from '../../ui/parts';
import { merge, takeInTurns } from './gallery';

interface Shown {
  job: Job;
  pieces: Artifact[];
}

const PAGE = 24;
const AT_ONCE = 3;

/** The next page of what jobs of both painting kinds have made. */
async function load(client: Client, after: Record<string, string>, signal: AbortSignal): Promise<{ shown: Shown[]; after: Record<string, string> }> {
  const pages = await Promise.all(
    ['image', 'storyboard']
      .filter((kind) => after[kind] !== 'end')
      .map(async (kind) => {
        const query = new URLSearchParams({ limit: String(PAGE), order: 'desc', status: 'succeeded', kind, ...(after[kind] && { after: after[kind] }) });
        return { kind, page: await client.get<Jobs>(`/v1/jobs?${query}`, signal) };
      }),
  );
  const jobs = merge(pages.map(({ page }) => page.data));
  const next = { ...after };
  for (const { kind, page } of pages) next[kind] = page.has_more && page.last_id ? page.last_id : 'end';
  const shown = await takeInTurns(jobs, AT_ONCE, async (job) => {
    const list = await client.get<Artifacts>(`/v1/jobs/${job.id}/artifacts`, signal);
    return { job, pieces: showpieces(list.data) };
  });
  return { shown: shown.filter((one) => one.pieces.length > 0), after: next };
}

export function GalleryRoom() {
  const t = useTexts();
  const kindName = useKindName();
  const { client, language } = useSession();
  const [shown, setShown] = useState<Shown[] | null>(null);
  const [after, setAfter] = useState<Record<string, string>>({});
  const [wanted, setWanted] = useState(0); // Pages asked for, from 0.
  const [busy, setBusy] = useState(true);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    setBusy(true);
    setProblem(null);
    load(client, after, stop.signal)
      .then((found) => {
        setShown((list) => [...(list ?? []), ...found.shown]);
        setAfter(found.after);
      })
      .catch((thrown) => {
        if (!stop.signal.aborted) setProblem(asProblem(thrown));
      })
      .finally(() => {
        if (!stop.signal.aborted) setBusy(false);
      });
    return () => stop.abort();
  }, [client, wanted]);
  const more = after.image !== 'end' || after.storyboard !== 'end';
  return (
    <Page title={t('room.gallery')}>
      {problem !== null && <Failure problem={problem} retry={() => setWanted((n) => n + 1)} />}
      {shown === null && problem === null && <Loading />}
      {shown !== null && shown.length === 0 && !busy && <Empty>{t('gallery.empty')}</Empty>}
      <ul class="gallery">
        {shown?.flatMap(({ job, pieces }) =>
          pieces.map((piece) => (
            <li key={piece.key}>
              <a href={hashOf('jobs', job.id)}>
                <img src={artifactAddress(piece.url)} alt={t('gallery.open', { id: shortId(job.id) })} loading="lazy" />
                <span class="caption">
                  <span class="mono">{job.model || kindName(job.kind)}</span>
                  <span class="quiet">{formatTime(job.finished_at, language)}</span>
                </span>
                {job.kind === 'storyboard' && <span class="film" aria-hidden="true" />}
              </a>
            </li>
          )),
        )}
      </ul>
      {shown !== null && more && (
        <button type="button" disabled={busy} onClick={() => setWanted((n) => n + 1)}>
          {t('gallery.older')}
        </button>
      )}
    </Page>
  );
}
