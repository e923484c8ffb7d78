import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startBundledOcr } from '../bundled-ocr/server.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { systemClock } from '../kernel/clock.ts'
import { ConfigError } from '../kernel/errors.ts'
import { createLog } from '../kernel/log.ts'
import { newClientSchema } from '../registry/client.ts'
import type { Clients } from '../registry/registry.ts'
import { inspectToken } from '../tokens/inspect.ts'
import { CliError } from './cli-error.ts'
import { describeRefusal, request, requestToken } from './client-http.ts'
import { modelServersOf } from './model-servers.ts'
import type { Running } from './running.ts'
import { startIssuer, type RunningIssuer } from './start-issuer.ts'
import { startProxy } from './start-proxy.ts'
import { expectAccepted, kidOf, rotateUnderCalls } from './demo-rotation.ts'
import { revokeAsOperator } from './demo-revocation.ts'
import { freePorts } from './free-ports.ts'
import { readImage, withTicking } from './ocr.ts'
import { createProgress } from './progress.ts'

const RECEIPT = fileURLToPath(new URL('../../test/fixtures/receipt-en.jpg', import.meta.url))
const MODEL = 'tencent/HunyuanOCR'
const CHAT_PATH = '/v1/chat/completions'

type Story = { config: Config; out: NodeJS.WritableStream; clients: Clients }

/** The whole story against real listeners in a folder of its own; throws a CliError if any step does not go as told. */
export async function runDemo(out: NodeJS.WritableStream): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-demo-'))
  removeAtExit(dir)
  const running: Running[] = []
  try {
    const config = await demoConfig(dir)
    const { issuer, others } = await startEverything(config, out)
    running.push(...others, issuer)
    await tellStory({ config, out, clients: issuer.registry.clients })
  } finally {
    for (const role of running.toReversed()) await role.close(1)
  }
}

/** Also when it is interrupted, or when nobody reads its output: there are private keys in the folder. */
function removeAtExit(dir: string): void {
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
  process.once('SIGINT', () => process.exit(130))
  process.once('SIGTERM', () => process.exit(143))
}

async function tellStory(story: Story): Promise<void> {
  const { config, out, clients } = story

  heading(out, '1. The operator makes a client for a third party')
  const { client, clientSecret = '' } = await clients.create(
    newClientSchema.parse({ name: 'Invoice robot of a third party', limits: { rpm: 600 } }),
  )
  say(out, `client_id ${client.client_id}, with a secret that is shown once (not here)`)

  heading(out, '2. The client gets an access token (client credentials, RS256)')
  const credentials = { issuer: config.issuer.url, clientId: client.client_id, clientSecret }
  const { access_token: accessToken, expires_in } = await requestToken(credentials)
  const { header, payload } = inspectToken(accessToken)
  say(out, `header  ${JSON.stringify(header)}`)
  say(out, `claims  ${JSON.stringify(payload)}`)
  say(out, `valid for ${expires_in / 60} minutes`)

  heading(out, '3. With the token it reads a real image through the proxy')
  const { text } = await withTicking(createProgress(process.stderr), 'reading the receipt', () =>
    readImage(RECEIPT, {
      proxy: config.proxy.url,
      accessToken,
      model: MODEL,
      prompt: 'Extract the text in the image.',
      onText: () => undefined,
    }),
  )
  for (const line of text.trim().split('\n')) say(out, `│ ${line}`)

  heading(out, '4. Everybody else is refused')
  const [tokenHeader, claims, signature = ''] = accessToken.split('.')
  const tampered = `${tokenHeader}.${claims}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`
  await expectRefusal(story, 'without a token', { status: 401 })
  await expectRefusal(story, 'with a tampered token', { status: 401, accessToken: tampered })
  await expectRefusal(story, 'with a string that is no token', {
    status: 401,
    accessToken: 'open-sesame',
  })
  await expectRefusal(story, 'to a path that is not in the route table', {
    status: 404,
    path: '/v1/load_lora_adapter',
    accessToken,
  })
  await expectNoToken(out, 'with a wrong client secret', { ...credentials, clientSecret: 'wrong' })
  await expectNoToken(out, 'with a scope that nobody has', { ...credentials, scope: 'root' })
  await expectNoToken(out, 'for another service', {
    ...credentials,
    resource: 'https://elsewhere.example',
  })

  heading(out, '5. The signing key is rotated while calls go on')
  const calls = await rotateUnderCalls(config, accessToken)
  say(out, `calls meanwhile: ${calls}, all of them answered`)
  const { access_token: newer } = await requestToken(credentials)
  for (const token of [accessToken, newer]) {
    await expectAccepted(config, token)
    say(out, `accepted: a token signed with ${kidOf(token)}`)
  }

  heading(out, '6. The operator revokes the token, long before it expires')
  const delayMs = await revokeAsOperator(config, accessToken)
  say(out, `refused ${delayMs.toFixed(0)} ms after the admin API had answered`)
  await expectRefusal(story, 'with the revoked token', { status: 401, accessToken })

  heading(out, 'Done. Everything above went over real sockets; nothing is left behind.')
}

async function demoConfig(dir: string): Promise<Config> {
  const ports = await freePorts(6)
  const [issuer, issuerOps, proxy, proxyOps, model, admin] = ports
  const result = loadConfig({
    env: {},
    set: [
      `dataDir=${join(dir, 'data')}`,
      `keys.dir=${join(dir, 'keys')}`,
      'log.level=silent',
      'keys.jwksMaxAgeSeconds=1',
      `issuer.url=http://localhost:${issuer}`,
      `issuer.listen=127.0.0.1:${issuer}`,
      `issuer.opsListen=127.0.0.1:${issuerOps}`,
      `admin.listen=127.0.0.1:${admin}`,
      `proxy.url=http://localhost:${proxy}`,
      `proxy.listen=127.0.0.1:${proxy}`,
      `proxy.opsListen=127.0.0.1:${proxyOps}`,
      `proxy.upstreams=http://localhost:${model}`,
    ],
  })
  if (result.problems !== undefined) throw new ConfigError(result.problems)
  return result.config
}

async function startEverything(
  config: Config,
  out: NodeJS.WritableStream,
): Promise<{ issuer: RunningIssuer; others: Running[] }> {
  const surroundings = { log: createLog(config.log.level), clock: systemClock }
  const startedAt = performance.now()
  const issuer = await startIssuer(config, surroundings)
  say(out, `issuer on ${config.issuer.url}, after ${secondsSince(startedAt)} s`)
  const progress = createProgress(process.stderr)
  const port = Number(new URL(modelServersOf(config)[0]?.url ?? '').port)
  const engine = await startBundledOcr({
    listen: { host: '127.0.0.1', port },
    ...surroundings,
    onProgress: ({ stage, fraction }) => {
      if (stage === 'loading')
        progress.update(`loading the OCR engine … ${Math.round(fraction * 100)} %`)
    },
  })
  await engine.ready
  progress.done()
  say(out, `bundled OCR engine (CPU, no GPU needed), after ${secondsSince(startedAt)} s`)
  const proxy = await startProxy(config, surroundings, issuer)
  say(out, `proxy on ${config.proxy.url} in front of it, after ${secondsSince(startedAt)} s`)
  return { issuer, others: [engine, proxy] }
}

async function expectRefusal(
  { config, out }: Story,
  who: string,
  {
    status,
    path = CHAT_PATH,
    accessToken,
  }: { status: number; path?: string; accessToken?: string },
): Promise<void> {
  const headers = accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }
  const response = await request('proxy', `${config.proxy.url}${path}`, { method: 'POST', headers })
  const why = await describeRefusal(response)
  if (response.status !== status)
    throw new CliError(`${who}: ${status} was to be expected, not ${why}`)
  say(out, `${who}: ${why}`)
}

async function expectNoToken(
  out: NodeJS.WritableStream,
  who: string,
  options: Parameters<typeof requestToken>[0],
): Promise<void> {
  const refusal = await requestToken(options).then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!(refusal instanceof CliError))
    throw new CliError(`${who}: a token was issued`, { cause: refusal })
  say(out, `${who}: ${refusal.message}`)
}

const heading = (out: NodeJS.WritableStream, text: string) => out.write(`\n${text}\n`)
const say = (out: NodeJS.WritableStream, text: string) => out.write(`   ${text}\n`)
const secondsSince = (startedAt: number) => ((performance.now() - startedAt) / 1000).toFixed(1)
