import { useEffect, useState } from 'preact/hooks';
import type { Client } from '../api/client';
import { isActive } from '../api/artifacts';
import type { Problem } from '../api/problem';
import type { Artifact, Artifacts, Job } from '../api/types';
import { useData } from './use_data';
import { useEvents } from './use_events';

/** A job as it goes on, and the files it has made so far. */
export function useJob(client: Client, id: string): { job: Job | null; artifacts: Artifact[]; problem: Problem | null; reload: () => void } {
  const [job, setJob] = useState<Job | null>(null);
  const first = useData((signal) => client.get<Job>(`/v1/jobs/${encodeURIComponent(id)}`, signal), [client, id]);
  useEffect(() => {
    // What a stream has told meanwhile may be newer.
    setJob((now) => (now !== null && first.data !== null && now.id === first.data.id && now.version > first.data.version ? now : first.data));
  }, [first.data]);
  const live = first.data !== null && isActive(first.data);
  const { problem } = useEvents(
    client,
    live ? `/v1/jobs/${encodeURIComponent(id)}/events` : null,
    (event) => setJob(JSON.parse(event.data) as Job),
    (event) => !isActive(JSON.parse(event.data) as Job),
  );
  const now = job !== null && job.id === id ? job : null;
  // Files come when a stage ends, partial pictures with steps: looked for as the job moves, but not at its every step.
  const moment = now === null ? '' : `${now.status} ${now.stage} ${Math.floor(now.progress * 8)}`;
  const files = useData(
    async (signal) => (moment === '' ? null : client.get<Artifacts>(`/v1/jobs/${encodeURIComponent(id)}/artifacts`, signal)),
    [client, id],
  );
  const { reload } = files;
  useEffect(reload, [moment, reload]);
  return { job: now, artifacts: files.data?.data ?? [], problem: first.problem ?? problem, reload: first.reload };
}
