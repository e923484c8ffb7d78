import { defineConfig } from 'vitest/config'

/** What takes long in memory alone: whole lives over the admin API, and simulations. */
const LONG = ['test/admin/**/*.test.ts', 'test/proxy/admission-simulation.test.ts']

/** Whole installations, releases and documents. */
const WHOLE = ['compose', 'documented-commands', 'many-clients', 'rolling-upgrade'].map(
  (name) => `test/e2e/${name}.test.ts`,
)

/**
 * By what a test needs: `unit` runs in seconds and is part of `npm run check`; `system` opens sockets, starts processes or
 * takes long; `ocr` loads the CPU engine, so its files take turns on the cores; each file of `whole` takes a minute or more.
 */
export const projects = [
  {
    test: {
      name: 'unit',
      include: ['test/**/*.test.ts'],
      exclude: ['test/{e2e,interop,attacks,contract,pages,supply-chain,bundled-ocr}/**', ...LONG],
      // Half of its time went into loading the same modules for each file. Nothing of ours keeps state in a module.
      isolate: false,
      // No test is about how long it takes: on a busy machine a property of a thousand runs takes its time.
      testTimeout: 30_000,
    },
  },
  {
    test: {
      name: 'system',
      globalSetup: ['test/support/redis-binary.ts', 'test/support/chromium.ts'],
      include: ['test/{e2e,interop,attacks,contract,pages,supply-chain}/**/*.test.ts', ...LONG],
      exclude: WHOLE,
      testTimeout: 60_000,
      hookTimeout: 60_000,
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
  {
    test: {
      name: 'whole',
      globalSetup: ['test/support/redis-binary.ts'],
      include: WHOLE,
      testTimeout: 120_000,
      hookTimeout: 120_000,
    },
  },
]

// oxlint-disable-next-line node/no-process-env -- whoever runs the tests says how much of them
const isFull = process.env['FULL'] === '1'
if (!isFull) process.stderr.write(`!!! ONLY WITH FULL=1: ${WHOLE.join(', ')} !!!\n`)

export default defineConfig({
  test: {
    // Many tests wait for processes that they have started: more workers than the cores of a small machine.
    maxWorkers: 3,
    projects: projects.filter(({ test }) => isFull || test.name !== 'whole'),
  },
})
