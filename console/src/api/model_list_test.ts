import { expect, test } from 'vitest';
import { paintersOf, rowsOf } from './model_list';

const NONE = { count: 0, ns: 0 };

test('rows have what is known, by name and with the newest version first', () => {
  const rows = rowsOf(
    [
      { name: 'b', version: '1', state: 'READY' },
      { name: 'a', version: '2', state: 'UNAVAILABLE', reason: 'unloaded' },
      { name: 'b', version: '10', state: 'READY' },
      { name: 'c' },
    ],
    [
      {
        name: 'b',
        version: '10',
        last_inference: 1_700_000_000_000,
        inference_count: 8,
        execution_count: 4,
        inference_stats: { compute_infer: { count: 4, ns: 8_000_000 }, success: NONE },
        batch_stats: [],
        memory_usage: [{ type: 'CPU', id: 0, byte_size: 100 }],
      },
    ],
  );
  expect(rows.map((row) => [row.model, row.version])).toEqual([['a', '2'], ['b', '10'], ['b', '1'], ['c', '']]);
  expect(rows[1]).toMatchObject({ memory: 100, inferences: 8, meanMs: 2, lastUsed: '2023-11-14T22:13:20.000Z' });
  expect(rows[2]).toMatchObject({ memory: null, inferences: null, meanMs: null, lastUsed: null });
});

test('a model that never ran has no mean', () => {
  const rows = rowsOf([{ name: 'a', version: '1', state: 'READY' }], [
    { name: 'a', version: '1', last_inference: 0, inference_count: 0, execution_count: 0, inference_stats: { compute_infer: NONE }, batch_stats: [] },
  ]);
  expect(rows[0]).toMatchObject({ meanMs: null, lastUsed: null, memory: null });
});

test('painters are told by their parts', () => {
  const index = ['emoji', 'emoji/unet', 'emoji/vae_decoder', 'simple', 'b/unet'].map((name) => ({ name, state: 'READY' as const }));
  expect(paintersOf(index)).toEqual(['b', 'emoji']);
});
