import { defineConfig } from 'vitest/config';

// `npm run dev` serves the console by itself and asks a running server for the API.
const server = process.env.MEZZO_URL ?? 'http://127.0.0.1:8000';

export default defineConfig({
  base: '/console/',
  cacheDir: '../build/console-vite',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // The policy forbids data: addresses.
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { '/v1': server, '/v2': server, '/console/sign-in.json': server } },
  test: { include: ['src/**/*_test.ts'], environment: 'node' },
});
