import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { connectAdminApi } from '../src/cli/admin-api.ts'
import { freePorts } from '../src/cli/free-ports.ts'
import { loadClientKey } from '../src/keys/client-key-file.ts'
import { startCommand } from '../test/support/command.ts'
import { startModelServer } from '../test/support/model-server.ts'
import { startRedis } from '../test/support/redis-server.ts'
import { waitUntil } from '../test/support/wait-until.ts'
import { quantile } from './token-load.ts'

/**
 * How long a token lives on elsewhere that was revoked at one issuer: two issuers and two proxies, each a process, on one
 * Redis. A token is revoked at the first issuer; from the moment that this is sent, the second issuer (introspection) and
 * the second proxy are asked without a pause until they refuse it.
 */
const ROUNDS = 300
const LIMIT_MS = 10_000

const clientSchema = z.object({ client_id: z.string(), client_secret: z.string() })
const tokenSchema = z.object({ access_token: z.string() })
const introspectionSchema = z.object({ active: z.boolean() })

await using open = new AsyncDisposableStack()
const dir = await mkdtemp(join(tmpdir(), 'gatehouse-bench-'))
open.defer(() => rm(dir, { recursive: true }))
const redis = await startRedis()
open.defer(redis.stop)
const model = await startModelServer()
open.defer(model.close)
const [first, second] = await startSites()
const { client_id: id, client_secret: secret } = await makeClient(first)
const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`

const times: Record<'answer' | 'issuer' | 'proxy', number[]> = { answer: [], issuer: [], proxy: [] }
for (let round = 0; round < ROUNDS; round += 1) {
  const { access_token: token } = tokenSchema.parse(
    await (await post(first, '/token', { grant_type: 'client_credentials' })).json(),
  )
  if (!(await isGoodAtIssuer(token)) || !(await isGoodAtProxy(token))) {
    throw new Error('a fresh token is refused')
  }
  const sentAt = performance.now()
  const [answer, issuer, proxy] = await Promise.all([
    post(first, '/token/revocation', { token }).then(() => performance.now() - sentAt),
    timeUntil(async () => !(await isGoodAtIssuer(token)), sentAt),
    timeUntil(async () => !(await isGoodAtProxy(token)), sentAt),
  ])
  times.answer.push(answer)
  times.issuer.push(issuer)
  times.proxy.push(proxy)
}
for (const [what, all] of Object.entries(times)) {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => quantile(all, share).toFixed(1))
  print(
    `${what}: p50 ${p50} ms, p95 ${p95} ms, p99 ${p99} ms, most ${Math.max(...all).toFixed(1)} ms`,
  )
}

type Site = { issuer: string; proxy: string; admin: string; keys: string }

/** Two of each, with one public address for both. */
async function startSites(): Promise<[Site, Site]> {
  const ports = await freePorts(10)
  const at = (index: number) => `127.0.0.1:${ports[index]}`
  const set = (...pairs: string[]) => pairs.flatMap((pair) => ['--set', pair])
  const shared = set(
    `issuer.url=http://localhost:${ports[0]}`,
    `proxy.url=http://localhost:${ports[1]}`,
    `proxy.upstreams=${model.url}`,
    `redis.url=${redis.url}`,
    `keys.encryptionKey=${randomBytes(32).toString('base64')}`,
    'log.level=warn',
  )
  const sites: Site[] = []
  for (const name of ['first', 'second']) {
    const offset = sites.length * 5
    const site = {
      issuer: at(offset),
      proxy: at(offset + 1),
      admin: at(offset + 2),
      keys: join(dir, name, 'keys'),
    }
    const own = set(
      `dataDir=${join(dir, name, 'data')}`,
      `keys.dir=${site.keys}`,
      `issuer.listen=${site.issuer}`,
      `issuer.opsListen=${at(offset + 3)}`,
      `admin.listen=${site.admin}`,
      `proxy.listen=${site.proxy}`,
      `proxy.opsListen=${at(offset + 4)}`,
      `proxy.jwksUrl=http://${site.issuer}/jwks`,
    )
    for (const [role, ops] of [
      ['issuer', at(offset + 3)],
      ['proxy', at(offset + 4)],
    ] as const) {
      const { child, finished } = startCommand([role, ...shared, ...own])
      open.defer(async () => {
        child.kill()
        await finished
      })
      await waitUntil(`the ${role}`, async () => (await fetch(`http://${ops}/readyz`)).ok)
    }
    sites.push(site)
  }
  const [one, two] = sites
  if (one === undefined || two === undefined) throw new Error('there are no two')
  return [one, two]
}

async function makeClient({ admin, keys }: Site) {
  const key = await loadClientKey(join(keys, 'admin.jwk'))
  if (key === undefined) throw new Error('there is no admin key')
  const api = await connectAdminApi(`http://${admin}`, key)
  return clientSchema.parse(await api.create('clients', {}))
}

function post({ issuer }: Site, path: string, fields: Record<string, string>): Promise<Response> {
  const body = new URLSearchParams(fields)
  return fetch(`http://${issuer}${path}`, { method: 'POST', headers: { authorization }, body })
}

async function isGoodAtIssuer(token: string): Promise<boolean> {
  const answer = await (await post(second, '/token/introspection', { token })).json()
  return introspectionSchema.parse(answer).active
}

async function isGoodAtProxy(token: string): Promise<boolean> {
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(`http://${second.proxy}/v1/models`, { headers })
  await response.arrayBuffer()
  return response.ok
}

/** To the end of the first answer that says so. */
async function timeUntil(isSo: () => Promise<boolean>, sinceMs: number): Promise<number> {
  while (!(await isSo())) {
    if (performance.now() - sinceMs > LIMIT_MS) throw new Error('not in time')
  }
  return performance.now() - sinceMs
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
