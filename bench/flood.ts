import { Agent, createServer, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { freePorts } from '../src/cli/free-ports.ts'
import { startGatehouseProxy } from './gatehouse-proxy.ts'
import { inLab } from './lab.ts'
import { quantile } from './token-load.ts'
import { startTestIssuer } from './tokens.ts'

/**
 * What one tenant's flood costs another: how long calls wait of a tenant at 80 % of its half of the model server, alone, and
 * beside one at 50 times its own half. Arrivals and service times are exponentially distributed. A minute.
 */
const SLOTS = 64
const MEAN_SERVICE_MS = 1500
const HALF_PER_SECOND = SLOTS / 2 / (MEAN_SERVICE_MS / 1000)
const ALONE_SECONDS = 15
const FLOODED_SECONDS = 30

const draw = (mean: number) => -mean * Math.log(1 - Math.random())

await inLab(async (lab) => {
  const [issuerPort = 0, modelPort = 0, port = 0, ops = 0] = await freePorts(4)
  const url = `http://127.0.0.1:${port}`
  const issuer = await startTestIssuer(issuerPort)
  const model = createServer((req, res) => {
    const serviceMs = draw(MEAN_SERVICE_MS)
    req.resume()
    setTimeout(() => res.setHeader('x-service-ms', serviceMs).end('{}'), serviceMs)
  })
  await new Promise<void>((resolve) => model.listen(modelPort, '127.0.0.1', resolve))
  await startGatehouseProxy(lab, {
    issuerUrl: issuer.url,
    upstreamUrl: `http://127.0.0.1:${modelPort}`,
    url,
    opsPort: ops,
  })
  const tokenOf = async (tenant: string) => {
    const [token = ''] = await issuer.issueTokens(1, url, { tenant_id: tenant, limits: {} })
    return token
  }
  const agent = new Agent({ keepAlive: true })

  /** Calls that arrive at that rate for so long, whether or not answers come; all that they were answered. */
  async function callsOf(tenant: string, perSecond: number, seconds: number): Promise<Answer[]> {
    const token = await tokenOf(tenant)
    const calls: Promise<Answer>[] = []
    const startedAt = performance.now()
    for (let dueMs = draw(1000 / perSecond); dueMs < seconds * 1000;) {
      await pause(5)
      for (; dueMs <= performance.now() - startedAt; dueMs += draw(1000 / perSecond)) {
        calls.push(ask(url, token, agent))
      }
    }
    return Promise.all(calls)
  }

  const alone = await callsOf('quiet', 0.8 * HALF_PER_SECOND, ALONE_SECONDS)
  print('alone', alone)
  const flood = callsOf('loud', 50 * HALF_PER_SECOND, FLOODED_SECONDS)
  // The flood has filled its places by then.
  await pause(3000)
  const flooded = await callsOf('quiet', 0.8 * HALF_PER_SECOND, FLOODED_SECONDS - 4)
  print('beside the flood', flooded)
  print('the flood', await flood)
  const bound = 2 * (MEAN_SERVICE_MS + p99(alone))
  process.stdout.write(`p99 may be ${bound.toFixed(0)} ms\n`)
  if (p99(flooded) > bound) process.exitCode = 1
  agent.destroy()
  issuer.close()
  model.closeAllConnections()
  model.close()
})

type Answer = { status: number; waitMs: number; retryAfter: string | undefined }

function ask(url: string, token: string, agent: Agent): Promise<Answer> {
  const startedAt = performance.now()
  const headers = { authorization: `Bearer ${token}`, 'content-length': 2 }
  return new Promise((resolve, reject) => {
    const sending = request(`${url}/ocr/infer`, { method: 'POST', agent, headers }, (response) => {
      const waitMs = performance.now() - startedAt - Number(response.headers['x-service-ms'] ?? 0)
      const { statusCode: status = 0, headers: answered } = response
      response
        .resume()
        .on('end', () => resolve({ status, waitMs, retryAfter: answered['retry-after'] }))
    })
    sending.on('error', reject).end('{}')
  })
}

function waitsOf(answers: readonly Answer[]): number[] {
  return answers.filter(({ status }) => status === 200).map(({ waitMs }) => waitMs)
}

function p99(answers: readonly Answer[]): number {
  return quantile(waitsOf(answers), 0.99)
}

function print(what: string, answers: readonly Answer[]): void {
  const statuses: Record<string, number> = {}
  for (const { status } of answers) statuses[status] = (statuses[status] ?? 0) + 1
  const [p50, last] = [0.5, 0.99].map((share) => quantile(waitsOf(answers), share).toFixed(0))
  const retry = new Set(answers.flatMap(({ retryAfter }) => retryAfter ?? []))
  const told =
    retry.size > 0
      ? `; Retry-After ${[...retry].sort((a, b) => Number(a) - Number(b)).join(', ')}`
      : ''
  process.stdout.write(
    `${what}: waits p50 ${p50} ms, p99 ${last} ms; ${JSON.stringify(statuses)}${told}\n`,
  )
}
