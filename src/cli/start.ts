import { startBundledOcr } from '../bundled-ocr/server.ts'
import { ConfigError } from '../kernel/errors.ts'
import { adminKeyPathOf } from './admin-bootstrap.ts'
import { modelServersOf } from './model-servers.ts'
import type { Running, Surroundings } from './running.ts'
import { startIssuer } from './start-issuer.ts'
import { startProxyWorkers } from './proxy-workers.ts'
import { startProxy } from './start-proxy.ts'
import { ensureDemoClient } from './demo-client.ts'
import { createProgress } from './progress.ts'
import type { LoadedConfig } from './settings-of.ts'

const DEFAULT_MODEL = 'http://localhost:8000'
const BUNDLED_OCR_LISTEN = { host: '127.0.0.1', port: 8000 }
const PROBE_TIMEOUT_MS = 1000

/**
 * `npm start`: the issuer, the proxy and, when no model server is configured and none answers on port 8000, the bundled
 * OCR engine. Says where everything is and what to paste next.
 */
export async function startAll(loaded: LoadedConfig, surroundings: Surroundings): Promise<Running> {
  const { config } = loaded
  const issuer = await startIssuer(config, surroundings)
  const model = await findModel(loaded, surroundings)
  const proxy =
    config.proxy.workers > 1
      ? await startProxyWorkers(config, surroundings)
      : await startProxy(config, surroundings, issuer)
  const hasDemoClient = await ensureDemoClient(config, issuer.registry.clients)
  process.stdout.write(introduction(loaded, model.description, hasDemoClient))
  return {
    prepareReload(next) {
      const takes = [issuer.prepareReload?.(next), proxy.prepareReload?.(next)]
      return () => takes.forEach((take) => take?.())
    },
    async close(drainSeconds) {
      await proxy.close(drainSeconds)
      await Promise.all([issuer.close(drainSeconds), model.engine?.close(drainSeconds)])
    },
  }
}

type Model = { description: string; engine?: Running }

/** The configured model servers, else whatever answers on port 8000, else the bundled engine. */
async function findModel(
  { config, given }: LoadedConfig,
  surroundings: Surroundings,
): Promise<Model> {
  const upstreams = modelServersOf(config)
  if (given.has('proxy.upstreams') || (await answers(DEFAULT_MODEL))) {
    const notes = await Promise.all(
      upstreams.map(async ({ url }) =>
        (await answers(url)) ? url : `${url} (does not answer yet)`,
      ),
    )
    return { description: notes.join(', ') }
  }
  try {
    const engine = await startEngine(surroundings)
    return { description: `the bundled OCR engine on ${DEFAULT_MODEL}`, engine }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    // Without the optional engine the rest still serves, and a model server can come up later.
    process.stderr.write(`warning: ${error.message}\nhint: ${error.hint ?? ''}\n`)
    return { description: `none: nothing answers on ${DEFAULT_MODEL}` }
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

async function startEngine({ log, clock }: Surroundings): Promise<Running> {
  const progress = createProgress(process.stderr)
  const startedAt = clock()
  const engine = await startBundledOcr({
    listen: BUNDLED_OCR_LISTEN,
    log,
    clock,
    onProgress: ({ stage, fraction }) => {
      if (stage === 'loading')
        progress.update(`loading the OCR engine … ${Math.round(fraction * 100)} %`)
    },
  })
  // The proxy looks at once whether it is well, and what is to be pasted should work.
  await engine.ready.then(
    () => {
      progress.done()
      const seconds = ((clock() - startedAt) / 1000).toFixed(1)
      process.stdout.write(`The OCR engine is ready after ${seconds} s.\n`)
    },
    (error: unknown) =>
      log.error({ event: 'bundled_ocr.failed', err: error }, 'the OCR engine did not load'),
  )
  return engine
}

function introduction(
  { config, flags }: LoadedConfig,
  model: string,
  hasDemoClient: boolean,
): string {
  const { issuer, admin, proxy, trustedCa } = config
  const isPrivate = trustedCa !== undefined && proxy.url.startsWith('https:')
  const curl = isPrivate ? `curl -s --cacert ${trustedCa}` : 'curl -s'
  const command = ['npm run -s gatehouse --', ...flags].join(' ')
  const paste = `
Paste this into another terminal, in this folder:

  TOKEN=$(${command} tokens issue)
  ${curl} ${proxy.url}/v1/models -H "Authorization: Bearer $TOKEN"
  ${curl} ${proxy.url}/ocr/infer -H "Authorization: Bearer $TOKEN" -F image=@test/fixtures/receipt-en.jpg

or in one: ${command} ocr test/fixtures/receipt-en.jpg
`
  return `Gatehouse is ready.
  issuer  ${issuer.url}
  proxy   ${proxy.url}
  admin   ${admin.listen}, with the key in ${adminKeyPathOf(config)}
  model   ${model}
${hasDemoClient ? paste : ''}
`
}
