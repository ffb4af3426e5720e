import { expect, test } from 'vitest';
import { filmJob, pictureJob, type FilmForm, type PictureForm } from './request';

const picture: PictureForm = { model: 'emoji', prompt: ' a cat ', negative: '', size: '', count: 1, steps: '', guidance: '', seed: '', tier: 'free' };
const film: FilmForm = { model: 'emoji', shots: 'a\n\n b \n', seconds: 3, style: 'fresh', resolution: '720p', aspect: 'square', steps: '4', seed: '9', tier: 'paid' };

test('what is left out is the model’s to say', () => {
  expect(pictureJob(picture)).toEqual({ kind: 'image', model: 'emoji', tier: 'free', input: { prompt: 'a cat', n: 1, partial_images: 3 } });
});

test('what is said is sent as numbers', () => {
  expect(pictureJob({ ...picture, count: 2, steps: '8', guidance: '1.5', seed: '0', negative: 'dogs', size: '64x64' })).toMatchObject({
    input: { n: 2, steps: 8, guidance: 1.5, seed: 0, negative_prompt: 'dogs', size: '64x64' },
  });
});

test('seeds are whole numbers of 32 bits', () => {
  for (const seed of ['-1', '1.5', 'x', '4294967296']) expect(pictureJob({ ...picture, seed })).toBe('play.badSeed');
  expect(filmJob({ ...film, seed: 'x' })).toBe('play.badSeed');
  expect(pictureJob({ ...picture, seed: '4294967295' })).toMatchObject({ input: { seed: 4294967295 } });
});

test('a film has a shot for each line', () => {
  expect(filmJob(film)).toEqual({
    kind: 'storyboard',
    model: 'emoji',
    tier: 'paid',
    input: {
      style: 'fresh',
      resolution: '720p',
      aspect: 'square',
      shots: [{ prompt: 'a', duration: 3 }, { prompt: 'b', duration: 3 }],
      painting: { seed: 9, steps: 4 },
    },
  });
  expect(filmJob({ ...film, steps: '', seed: '' })).not.toHaveProperty('input.painting');
});

test('nothing to be seen is nothing to make', () => {
  expect(pictureJob({ ...picture, prompt: '  ' })).toBe('play.noPrompt');
  expect(filmJob({ ...film, shots: ' \n ' })).toBe('play.noPrompt');
});
