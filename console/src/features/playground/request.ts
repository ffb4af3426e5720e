// What the playground asks for: the bodies of POST /v1/jobs.

export interface PictureForm {
  model: string;
  prompt: string;
  negative: string;
  size: string;
  count: number;
  steps: string;
  guidance: string;
  seed: string;
  tier: string;
}

export interface FilmForm {
  model: string;
  shots: string;
  seconds: number;
  style: string;
  resolution: string;
  aspect: string;
  steps: string;
  seed: string;
  tier: string;
}

export type Wrong = 'play.noPrompt' | 'play.badSeed';

const SEEDS = 4_294_967_295;

/** A number that may be left out; null: not a number that may be. */
function numberOf(text: string): number | undefined {
  const trimmed = text.trim();
  return trimmed === '' ? undefined : Number(trimmed);
}

function seedOf(text: string): number | undefined | null {
  const seed = numberOf(text);
  if (seed === undefined) return undefined;
  return Number.isInteger(seed) && seed >= 0 && seed <= SEEDS ? seed : null;
}

/** Without what was left out: that is the model's to say. */
function without<T extends object>(members: T): Partial<T> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined && value !== '')) as Partial<T>;
}

export function pictureJob(form: PictureForm): object | Wrong {
  if (form.prompt.trim() === '') return 'play.noPrompt';
  const seed = seedOf(form.seed);
  if (seed === null) return 'play.badSeed';
  return {
    kind: 'image',
    model: form.model,
    tier: form.tier,
    input: without({
      prompt: form.prompt.trim(),
      negative_prompt: form.negative.trim(),
      size: form.size,
      n: form.count,
      steps: numberOf(form.steps),
      guidance: numberOf(form.guidance),
      seed,
      partial_images: form.count === 1 ? 3 : undefined,
    }),
  };
}

export function filmJob(form: FilmForm): object | Wrong {
  const prompts = form.shots.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  if (prompts.length === 0) return 'play.noPrompt';
  const seed = seedOf(form.seed);
  if (seed === null) return 'play.badSeed';
  const painting = without({ seed, steps: numberOf(form.steps) });
  return {
    kind: 'storyboard',
    model: form.model,
    tier: form.tier,
    input: {
      style: form.style,
      resolution: form.resolution,
      aspect: form.aspect,
      shots: prompts.map((prompt) => ({ prompt, duration: form.seconds })),
      ...(Object.keys(painting).length > 0 && { painting }),
    },
  };
}
