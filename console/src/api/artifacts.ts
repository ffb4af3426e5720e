import type { Artifact, Job } from './types';

/**
 * Where the browser finds an artifact. The server's own signed addresses are taken relative to this page, so that they also work behind a
 * proxy with another name; those of a bucket stay as they are.
 */
export function artifactAddress(url: string): string {
  try {
    const parsed = new URL(url);
    if (parsed.pathname.startsWith('/v1/artifacts/')) return parsed.pathname + parsed.search;
    return parsed.protocol === 'https:' || parsed.protocol === 'http:' ? parsed.href : '';
  } catch {
    return '';
  }
}

export type ArtifactKind = 'picture' | 'film' | 'track' | 'file';

export function kindOf(name: string): ArtifactKind {
  if (/\.(png|jpe?g|webp)$/i.test(name)) return 'picture';
  if (/\.(mp4|webm)$/i.test(name)) return 'film';
  return /\.vtt$/i.test(name) ? 'track' : 'file';
}

/** Whether it is a step on the way to a picture. */
export function isPartial(name: string): boolean {
  return name.startsWith('partial-');
}

/** What a gallery shows of a job: its pictures, or of a film the thumbnail. */
export function showpieces(artifacts: readonly Artifact[]): Artifact[] {
  const last = Math.max(0, ...artifacts.map((one) => one.attempt));
  const pictures = artifacts.filter((one) => one.attempt === last && kindOf(one.name) === 'picture' && !isPartial(one.name));
  const thumbnails = pictures.filter((one) => one.name.startsWith('thumbnail'));
  if (thumbnails.length > 0) return thumbnails;
  return pictures.filter((one) => !one.name.startsWith('sprites') && !one.name.startsWith('shot-'));
}

export function isActive(job: Job): boolean {
  return job.status === 'scheduled' || job.status === 'queued' || job.status === 'running';
}
