import { expect, test } from 'vitest';
import { artifactAddress, kindOf, showpieces } from './artifacts';
import type { Artifact } from './types';

function made(name: string, attempt = 1): Artifact {
  return { object: 'artifact', key: `acme/j/${attempt}/${name}`, attempt, name, bytes: 1, url: 'http://a/', url_expires_at: '' };
}

test('own addresses are relative, others stay, and scripts are none', () => {
  expect(artifactAddress('http://inside:8000/v1/artifacts/a/b/1/c.png?key=k')).toBe('/v1/artifacts/a/b/1/c.png?key=k');
  expect(artifactAddress('https://bucket.example/a.png?x=1')).toBe('https://bucket.example/a.png?x=1');
  expect(artifactAddress('javascript:alert(1)')).toBe('');
  expect(artifactAddress('nonsense')).toBe('');
});

test('names tell what an artifact is', () => {
  expect(['a.PNG', 'b.webm', 'c.vtt', 'd.json', 'png'].map(kindOf)).toEqual(['picture', 'film', 'track', 'file', 'file']);
});

test('a gallery shows whole pictures of the last attempt', () => {
  const list = [made('image-0.png'), made('image-0.png', 2), made('partial-0-1.png', 2), made('image-1.webp', 2)];
  expect(showpieces(list).map((one) => [one.attempt, one.name])).toEqual([[2, 'image-0.png'], [2, 'image-1.webp']]);
});

test('of a film it shows the thumbnail', () => {
  const list = [made('shot-0-v1.png'), made('sprites-v1.webp'), made('thumbnail-v1.webp'), made('video-v1.mp4')];
  expect(showpieces(list).map((one) => one.name)).toEqual(['thumbnail-v1.webp']);
  expect(showpieces([])).toEqual([]);
});
