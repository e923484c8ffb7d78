import { defineConfig } from 'vitest/config'

const SYSTEM = ['e2e', 'interop', 'attacks', 'contract', 'pages', 'supply-chain', 'admin'].map(
  (folder) => `test/${folder}/**/*.test.ts`,
)

/** Of the tests of single parts, those that open sockets, start programs, wait for real time or take seconds to compute. */
const PARTS = [
  'test/cli/{admin-bootstrap,dev-cert,login-file,proxy-limits,sandbox,trusted-ca,usage-table}.test.ts',
  'test/deploy/**/*.test.ts',
  'test/issuer/{distinguished-name,revocation-feed,signing-keys}.test.ts',
  'test/kernel/{http-server,tls}.test.ts',
  'test/keys/sealing.test.ts',
  'test/proxy/{admission-simulation,answer-parser-peer,answer-passage,fair-queue,upstream-connection,upstream-pool,upstream-tls}.test.ts',
  'test/registry/expiring-secrets.test.ts',
  'test/revocations/{follow-issuer,kept-revocations}.test.ts',
  'test/store/string-methods.test.ts',
  'test/tokens/remote-jwks.test.ts',
]

/** What takes longest: whole installations, releases, lifetimes and documents, others' programs, and thousands of generated requests. */
const WHOLE = [
  'test/attacks/{generated-requests,generated-token-requests,sealed-backups,stolen-key}.test.ts',
  'test/contract/{authentication-redis,backup-redis,backup-sqlite,redis-failover,registry-redis,sign-ins-redis,signing-keys-redis,sqlite-crash,stops-redis}.test.ts',
  'test/e2e/{admin-cli,backup,cli,compose,documented-commands,issuer-outage,keys,login,many-clients,redis-lifetimes,revoke,rolling-upgrade}.test.ts',
  'test/interop/{client-examples,openid-client-sign-ins,pkcs11,sender-constrained-sign-ins,verifier-examples}.test.ts',
  'test/pages/{device,look,sign-in}.test.ts',
]

/**
 * By what a test needs: `unit` runs in seconds and is part of `npm run check`; `parts` is what it leaves out; `system` tries
 * whole programs; `ocr` loads the CPU engine, so its files take turns on the cores; `whole` is for CI and whoever has time.
 */
export const projects = [
  {
    test: {
      name: 'unit',
      include: ['test/**/*.test.ts'],
      exclude: [...SYSTEM, ...PARTS, 'test/bundled-ocr/**'],
      // Half of its time went into loading the same modules for each file. Nothing of ours keeps state in a module.
      isolate: false,
      // No test is about how long it takes: on a busy machine a property of a thousand runs takes its time.
      testTimeout: 30_000,
    },
  },
  {
    test: {
      name: 'parts',
      include: PARTS,
      isolate: false,
      testTimeout: 60_000,
      hookTimeout: 60_000,
    },
  },
  {
    test: {
      name: 'system',
      globalSetup: ['test/support/redis-binary.ts', 'test/support/chromium.ts'],
      include: SYSTEM,
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
      globalSetup: ['test/support/redis-binary.ts', 'test/support/chromium.ts'],
      include: WHOLE,
      testTimeout: 120_000,
      hookTimeout: 120_000,
    },
  },
]

// oxlint-disable-next-line node/no-process-env -- whoever runs the tests says how much of them
const isFull = process.env['FULL'] === '1'
if (!isFull) process.stderr.write(`!!! ONLY WITH FULL=1: ${WHOLE.join(' ')} !!!\n`)

export default defineConfig({
  test: {
    // Many tests wait for processes that they have started: more workers than the cores of a small machine.
    maxWorkers: 3,
    projects: projects.filter(({ test }) => isFull || test.name !== 'whole'),
  },
})
