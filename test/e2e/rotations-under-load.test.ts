import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { connectAdminApi, type AdminApi } from '../../src/cli/admin-api.ts'
import { freePorts } from '../../src/cli/free-ports.ts'
import { loadClientKey, type ClientKey } from '../../src/keys/client-key-file.ts'
import { inspectToken } from '../../src/tokens/inspect.ts'
import { startCommand } from '../support/command.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

/**
 * `LONG_ROTATIONS=1` for the long form: three and a half minutes with ten rotations, in which most tokens are tried until
 * they expire. The short one ends before any does.
 */
const IS_LONG = process.env['LONG_ROTATIONS'] === '1'
const ROTATIONS = IS_LONG ? 10 : 3
const MAX_AGE_SECONDS = IS_LONG ? 6 : 1
const TTL_SECONDS = 60
/** Within so much of its end a token is tried at each proxy for the last time. */
const LAST_MS = 2500
/** Time for a call on a busy machine; a proxy's leeway of 30 s comes on top. */
const MARGIN_MS = 1000

const ringSchema = z.object({ items: z.array(z.object({ kid: z.string(), state: z.string() })) })
const jwksSchema = z.object({ keys: z.array(z.object({ kid: z.string() })) })
const tokenSchema = z.object({ access_token: z.string() })
const headerSchema = z.object({ kid: z.string() })
const payloadSchema = z.object({ exp: z.number() })
const clientSchema = z.object({ client_id: z.string(), client_secret: z.string() })

type Site = { issuer: string; proxy: string; admin: string; ops: string[]; flags: string[] }
type LiveToken = { token: string; kid: string; expiresAtMs: number }

describe.skipIf(!hasRedisServer)(
  'two issuers and two proxies, each a process, on one Redis',
  () => {
    let dir: string
    let servers: RedisServers
    let model: ModelServer
    let sites: Site[]
    let processes: ReturnType<typeof startCommand>[]
    let adminKey: ClientKey
    let basic: string
    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'gatehouse-rotations-'))
      servers = await startRedis()
      model = await startModelServer()
      const shared = [
        `proxy.upstreams=${model.url}`,
        `redis.url=${servers.url}`,
        `keys.encryptionKey=${randomBytes(32).toString('base64')}`,
        `keys.jwksMaxAgeSeconds=${MAX_AGE_SECONDS}`,
        `tokens.accessTtlSeconds=${TTL_SECONDS}`,
        'log.level=warn',
      ]
      sites = [await siteIn('first', shared), await siteIn('second', shared)]
      // One address for both, as behind a balancer; each proxy asks an issuer of its own.
      const [first] = sites
      for (const { flags, issuer } of sites) {
        flags.push(
          ...setting(`issuer.url=http://${first?.issuer.replace('127.0.0.1', 'localhost')}`),
        )
        flags.push(...setting(`proxy.url=http://${first?.proxy.replace('127.0.0.1', 'localhost')}`))
        flags.push(...setting(`proxy.jwksUrl=http://${issuer}/jwks`))
      }
      processes = []
      for (const role of ['issuer', 'proxy']) {
        for (const { flags, ops } of sites) {
          processes.push(startCommand([role, ...flags]))
          await isReady(ops[role === 'issuer' ? 0 : 1] ?? '')
        }
      }
      const key = await loadClientKey(join(dir, 'first', 'keys', 'admin.jwk'))
      if (key === undefined) throw new Error('there is no admin key')
      adminKey = key
      const made = clientSchema.parse(await (await adminApi(first)).create('clients', {}))
      basic = Buffer.from(`${made.client_id}:${made.client_secret}`).toString('base64')
    }, 90_000)
    afterAll(async () => {
      for (const { child } of processes) child.kill('SIGTERM')
      await Promise.all(processes.map(({ finished }) => finished))
      await Promise.all([servers.stop(), model.close()])
      await rm(dir, { recursive: true })
    })

    test(
      'rotate again and again under load: no request fails, every token has its key everywhere until it expires',
      { timeout: 360_000 },
      async () => {
        let live: LiveToken[] = []
        const failures: string[] = []
        const kids = new Set<string>()
        const ends: number[] = []
        const counts = { tokens: 0, calls: 0, looks: 0 }
        const lastCalls = sites.map(() => 0)
        const over = new AbortController()
        const isOver = () => over.signal.aborted || failures.length > 20

        const requestTokens = async ({ issuer }: Site) => {
          while (!isOver()) {
            const response = await fetch(`http://${issuer}/token`, {
              method: 'POST',
              headers: { authorization: `Basic ${basic}` },
              body: new URLSearchParams({ grant_type: 'client_credentials' }),
            })
            const text = await response.text()
            if (!response.ok) failures.push(`token ${response.status} ${text}`)
            else {
              const { access_token: token } = tokenSchema.parse(JSON.parse(text))
              const { header, payload } = inspectToken(token)
              const { kid } = headerSchema.parse(header)
              const expiresAtMs = payloadSchema.parse(payload).exp * 1000
              live.push({ token, kid, expiresAtMs })
              ends.push(expiresAtMs)
              kids.add(kid)
              counts.tokens += 1
            }
            await pause(40)
          }
        }
        const call = async ({ proxy }: Site, { token, kid, expiresAtMs }: LiveToken) => {
          const response = await fetch(`http://${proxy}/v1/models`, {
            headers: { authorization: `Bearer ${token}` },
          })
          const text = await response.text()
          const left = `${((expiresAtMs - Date.now()) / 1000).toFixed(1)} s before its end`
          if (!response.ok) failures.push(`call ${response.status} ${text} of ${kid} ${left}`)
          counts.calls += 1
        }
        /** The newest, and an older one by turns. */
        const callModel = async (site: Site) => {
          while (!isOver()) {
            const good = live.filter(({ expiresAtMs }) => Date.now() < expiresAtMs - MARGIN_MS)
            const chosen = counts.calls % 2 === 0 ? good.at(-1) : good[counts.calls % good.length]
            await (chosen === undefined ? pause(5) : call(site, chosen))
            await pause(2)
          }
        }
        /** Each once more just before its end, in the order in which they end. */
        const callAtTheEnd = async (site: Site, index: number) => {
          const called = new WeakSet<LiveToken>()
          while (!isOver()) {
            const ending = live.filter((each) => {
              const leftMs = each.expiresAtMs - Date.now()
              return !called.has(each) && leftMs < LAST_MS && leftMs > MARGIN_MS
            })
            for (const each of ending) called.add(each)
            await Promise.all(ending.map((each) => call(site, each)))
            lastCalls[index] = (lastCalls[index] ?? 0) + ending.length
            await pause(20)
          }
        }
        const watchJwks = async ({ issuer }: Site) => {
          while (!isOver()) {
            const needed = new Set(live.map(({ kid }) => kid))
            const response = await fetch(`http://${issuer}/jwks`)
            const published = new Set(
              jwksSchema.parse(await response.json()).keys.map((k) => k.kid),
            )
            const missing = [...needed].filter((kid) => !published.has(kid))
            failures.push(...missing.map((kid) => `not published: ${kid}`))
            counts.looks += 1
            live = live.filter(({ expiresAtMs }) => Date.now() < expiresAtMs)
            await pause(10)
          }
        }
        const load = sites.flatMap((site, index) => [
          requestTokens(site),
          callModel(site),
          callAtTheEnd(site, index),
          watchJwks(site),
        ])
        for (let done = 0; done < ROTATIONS; done += 1) await rotate(sites[done % sites.length])
        if (IS_LONG) await pause((TTL_SECONDS + 5) * 1000)
        over.abort()
        await Promise.all(load)

        expect(failures).toEqual([])
        expect(kids.size).toBeGreaterThanOrEqual(ROTATIONS)
        expect(Math.min(...Object.values(counts))).toBeGreaterThan(ROTATIONS * 10)
        // One that ended while the machine stood still was not tried.
        const expired = ends.filter((endsAtMs) => endsAtMs < Date.now()).length
        expect(Math.min(...lastCalls)).toBeGreaterThanOrEqual(expired * 0.9)
        process.stdout.write(
          `${ROTATIONS} rotations, ${JSON.stringify({ ...counts, expired, lastCalls })}\n`,
        )
      },
    )

    async function siteIn(name: string, shared: readonly string[]): Promise<Site> {
      const ports = await freePorts(5)
      const [issuer = '', issuerOps = '', proxy = '', proxyOps = '', admin = ''] = ports.map(
        (port) => `127.0.0.1:${port}`,
      )
      const own = [
        `dataDir=${join(dir, name, 'data')}`,
        `keys.dir=${join(dir, name, 'keys')}`,
        `issuer.listen=${issuer}`,
        `issuer.opsListen=${issuerOps}`,
        `admin.listen=${admin}`,
        `proxy.listen=${proxy}`,
        `proxy.opsListen=${proxyOps}`,
      ]
      const flags = [...own, ...shared].flatMap(setting)
      return { issuer, proxy, admin, ops: [issuerOps, proxyOps], flags }
    }

    /** With a token of this very moment: they last for a minute only. */
    async function adminApi(site: Site | undefined): Promise<AdminApi> {
      return connectAdminApi(`http://${site?.admin}`, adminKey)
    }

    async function rotate(site: Site | undefined): Promise<void> {
      const api = await adminApi(site)
      const ring = async () => ringSchema.parse(await api.call({ path: 'keys' })).items
      const next = (await ring()).find(({ state }) => state === 'next')?.kid
      await api.call({ method: 'POST', path: 'keys/rotate', query: { when: 'ready' } })
      await waitUntil('the rotation', async () =>
        (await ring()).some(({ kid, state }) => kid === next && state === 'active'),
      )
    }
  },
)

const setting = (text: string): string[] => ['--set', text]

const isReady = (ops: string) =>
  waitUntil(`http://${ops}/readyz`, async () => (await fetch(`http://${ops}/readyz`)).ok, 30_000)
