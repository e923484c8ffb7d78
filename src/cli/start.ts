import { startBundledOcr } from '../bundled-ocr/server.ts'
import type { Config } from '../config/schema.ts'
import { ConfigError } from '../kernel/errors.ts'
import { adminKeyPathOf } from './admin-bootstrap.ts'
import { startIssuer, startProxy, type Running, type Surroundings } from './compose.ts'
import { ensureDemoClient } from './demo-client.ts'
import { createProgress } from './progress.ts'
import type { LoadedConfig } from './settings-of.ts'

const BUNDLED_OCR_LISTEN = { host: '127.0.0.1', port: 8000 }
const PROBE_TIMEOUT_MS = 1000

/**
 * `npm start`: the issuer, the proxy and, when no model server is configured and none answers on port 8000, the bundled
 * OCR engine. Says where everything is and what to paste next.
 */
export async function startAll(
  { config, given }: LoadedConfig,
  surroundings: Surroundings,
): Promise<Running> {
  const issuer = await startIssuer(config, surroundings)
  const proxy = await startProxy(config, surroundings)
  const hasDemoClient = await ensureDemoClient(config, issuer.registry.clients)
  const hasUpstream = given.has('proxy.upstreams') || (await answers('http://localhost:8000'))
  process.stdout.write(introduction(config, hasUpstream, hasDemoClient))
  const engine = hasUpstream ? undefined : await startEngine(surroundings)
  return {
    async close(drainSeconds) {
      await proxy.close(drainSeconds)
      await Promise.all([issuer.close(drainSeconds), engine?.close(drainSeconds)])
    },
  }
}

/** Whether anything speaks HTTP there, whatever it says. */
async function answers(url: string): Promise<boolean> {
  try {
    await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) })
    return true
  } catch {
    return false
  }
}

async function startEngine({ log, clock }: Surroundings): Promise<Running | undefined> {
  const progress = createProgress(process.stderr)
  const startedAt = clock()
  try {
    const engine = await startBundledOcr({
      listen: BUNDLED_OCR_LISTEN,
      log,
      clock,
      onProgress: ({ stage, fraction }) => {
        if (stage === 'loading')
          progress.update(`loading the OCR engine … ${Math.round(fraction * 100)} %`)
      },
    })
    void engine.ready.then(
      () => {
        progress.done()
        process.stdout.write(
          `The OCR engine is ready after ${((clock() - startedAt) / 1000).toFixed(1)} s.\n`,
        )
      },
      (error: unknown) =>
        log.error({ event: 'bundled_ocr.failed', err: error }, 'the OCR engine did not load'),
    )
    return engine
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    // Without the optional engine the rest still serves, and a model server can come up later.
    process.stderr.write(
      `warning: ${error.message}\n${error.hint === undefined ? '' : `hint: ${error.hint}\n`}`,
    )
    return undefined
  }
}

function introduction(config: Config, hasUpstream: boolean, hasDemoClient: boolean): string {
  const { issuer, proxy, admin } = config
  const adminKeyPath = adminKeyPathOf(config)
  const model = hasUpstream
    ? proxy.upstreams.join(', ')
    : 'the bundled OCR engine on http://localhost:8000'
  const paste = hasDemoClient
    ? `
Paste this into another terminal, in this folder:

  TOKEN=$(npm run -s gatehouse -- tokens issue)
  curl -s ${proxy.url}/v1/models -H "Authorization: Bearer $TOKEN"
  curl -s ${proxy.url}/ocr/infer -H "Authorization: Bearer $TOKEN" -F image=@test/fixtures/receipt-en.jpg

or in one: npm run -s gatehouse -- ocr test/fixtures/receipt-en.jpg
`
    : ''
  return `Gatehouse is ready.
  issuer  ${issuer.url}
  proxy   ${proxy.url}
  admin   ${admin.listen}, with the key in ${adminKeyPath}
  model   ${model}
${paste}
`
}
