import { defineConfig } from 'vitest/config'

/**
 * Three projects by what a test needs: `unit` runs in seconds and is part of `npm run check`; `system` opens sockets
 * or starts processes; `ocr` loads the CPU engine, so its files take turns on the cores.
 */
export default defineConfig({
  test: {
    // Many tests wait for processes that they have started: more workers than the cores of a small machine.
    maxWorkers: 3,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/{e2e,interop,attacks,contract,pages,supply-chain,bundled-ocr}/**'],
          // No test is about how long it takes: on a busy machine a property of a thousand runs takes its time.
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'system',
          globalSetup: ['test/support/redis-binary.ts', 'test/support/chromium.ts'],
          include: ['test/{e2e,interop,attacks,contract,pages,supply-chain}/**/*.test.ts'],
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'ocr',
          include: ['test/bundled-ocr/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
