import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { connectAdminApi, type AdminApi } from '../../src/cli/admin-api.ts'
import { adminKeyPathOf } from '../../src/cli/admin-bootstrap.ts'
import type { Config } from '../../src/config/schema.ts'
import { loadOrCreateClientKey } from '../../src/keys/client-key-file.ts'
import { startCommand } from '../support/command.ts'
import { settingsOnRedis, testConfig } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { PASSWORD } from '../support/people.ts'
import { startPerson } from '../support/person.ts'
import { findPreviousRelease, installRelease } from '../support/previous-release.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { createPkce } from '../support/relying-party.ts'
import { waitUntil } from '../support/wait-until.ts'

const CALLBACK = 'https://client.example/callback'
const START_WITHIN_MS = 60_000
const BOTH_WAYS = [
  ['the previous release', 'this one', 'old', 'new'],
  ['this release', 'the previous one', 'new', 'old'],
] as const

type Version = 'old' | 'new'
type Role = 'issuer' | 'proxy'
type Program = ReturnType<typeof startCommand>
type Client = z.infer<typeof clientSchema>

const clientSchema = z.object({ client_id: z.string(), client_secret: z.string() })
const tokensSchema = z.object({
  access_token: z.string(),
  refresh_token: z.string().default(''),
})
const headerSchema = z.object({ kid: z.string() })

const release = findPreviousRelease()
const missing = 'missing' in release ? release.missing : undefined
if (missing !== undefined) {
  process.stderr.write(`\n!!! ROLLING UPGRADES ARE NOT TESTED: ${missing} !!!\n\n`)
}

/** The settings of one program, as flags. */
function flagsOf(config: Config, set: readonly string[]): string[] {
  const named = (['issuer', 'proxy'] as const).flatMap((role) =>
    (['url', 'listen', 'opsListen'] as const).map(
      (name) => `${role}.${name}=${config[role][name]}`,
    ),
  )
  const places = [
    `dataDir=${config.dataDir}`,
    `keys.dir=${config.keys.dir}`,
    `admin.listen=${config.admin.listen}`,
  ]
  return [...set, ...places, ...named].flatMap((each) => ['--set', each])
}

async function stop({ child, finished, output }: Program): Promise<void> {
  child.kill('SIGTERM')
  const { code } = await finished
  if (code !== 0) throw new Error(`ended with ${code}: ${output.stderr}`)
}

describe.skipIf(missing !== undefined)('two releases', () => {
  let dir: string
  let model: ModelServer
  let oldMain: string
  const running = new Set<Program>()
  beforeAll(async () => {
    if ('missing' in release) return
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-upgrade-'))
    model = await startModelServer()
    oldMain = installRelease(release.tag, join(dir, 'release'))
  }, 120_000)
  afterAll(async () => {
    for (const { child } of running) child.kill('SIGKILL')
    await Promise.all([...running].map(({ finished }) => finished))
    await model?.close()
    await rm(dir, { recursive: true, force: true })
  })

  async function start(version: Version, role: Role, flags: readonly string[]): Promise<Program> {
    const main = version === 'old' ? oldMain : undefined
    const program = startCommand([...flags, role], {}, main)
    running.add(program)
    void program.finished.then(() => running.delete(program))
    const serves = async () => {
      if (program.child.exitCode !== null) return true
      return program.output.stdout.includes('listens on')
    }
    await waitUntil(`the ${version} ${role}`, serves, START_WITHIN_MS)
    expect(program.output).toMatchObject({ stdout: expect.stringContaining('listens on') })
    return program
  }

  const adminOf = async (config: Config, keyOf = config): Promise<AdminApi> =>
    connectAdminApi(
      `http://${config.admin.listen}`,
      await loadOrCreateClientKey(adminKeyPathOf(keyOf)),
    )

  async function ask(config: Config, client: Client, fields: object) {
    const answer = await fetch(`http://${config.issuer.listen}/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: client.client_id,
        client_secret: client.client_secret,
        ...fields,
      }),
    })
    expect([answer.status, await answer.clone().text()]).toEqual([200, expect.any(String)])
    return tokensSchema.parse(await answer.json())
  }

  async function callWith(config: Config, token: string): Promise<number> {
    const headers = { authorization: `Bearer ${token}` }
    const answer = await fetch(`http://${config.proxy.listen}/v1/models`, { headers })
    await answer.arrayBuffer()
    return answer.status
  }

  describe.skipIf(!hasRedisServer)('side by side on one Redis', () => {
    let redis: RedisServers
    let configs: Record<Version, Config>
    let flags: Record<Version, string[]>
    let admins: Record<Version, AdminApi>
    let programs: Record<Version, Program[]>
    beforeAll(async () => {
      redis = await startRedis()
      const set = [
        ...settingsOnRedis(redis.url),
        `proxy.upstreams=${model.url}`,
        'proxy.healthCheck.intervalSeconds=0',
        'keys.jwksMaxAgeSeconds=1',
        'proxy.jwks.cooldownSeconds=1',
      ]
      const one = await testConfig(join(dir, 'old'), set)
      const two = await testConfig(join(dir, 'new'), set)
      // One public address for both, as behind a load balancer.
      const same = (role: Role) => ({ ...two[role], url: one[role].url })
      configs = {
        old: one,
        new: {
          ...two,
          issuer: { ...two.issuer, ...same('issuer') },
          proxy: { ...two.proxy, ...same('proxy') },
        },
      }
      flags = { old: flagsOf(configs.old, set), new: flagsOf(configs.new, set) }
      const issuers = {
        old: await start('old', 'issuer', flags.old),
        new: await start('new', 'issuer', flags.new),
      }
      const [oldProxy, newProxy] = await Promise.all([
        start('old', 'proxy', flags.old),
        start('new', 'proxy', flags.new),
      ])
      programs = { old: [issuers.old, oldProxy], new: [issuers.new, newProxy] }
      admins = {
        old: await adminOf(configs.old),
        new: await adminOf(configs.new, configs.old),
      }
    }, 180_000)
    afterAll(() => redis?.stop())

    const createClient = async (version: Version, request: object = {}): Promise<Client> =>
      clientSchema.parse(await admins[version].create('clients', request))

    test.each(BOTH_WAYS)(
      'a client that %s made gets its tokens from %s, which both proxies take',
      async (_one, _other, from, to) => {
        const client = await createClient(from)
        for (const issuer of [to, from]) {
          const { access_token } = await ask(configs[issuer], client, {})
          expect(await callWith(configs.old, access_token)).toBe(200)
          expect(await callWith(configs.new, access_token)).toBe(200)
        }
      },
    )

    test.each(BOTH_WAYS)(
      'a refresh token of %s is good at %s, once',
      async (_one, _other, from, to) => {
        const client = await createClient(to, { client_credentials_refresh: true })
        const { refresh_token } = await ask(configs[from], client, {})
        const grant = { grant_type: 'refresh_token' }
        const next = await ask(configs[to], client, { ...grant, refresh_token })
        const retried = await ask(configs[from], client, { ...grant, refresh_token })
        expect(retried.refresh_token).toBe(next.refresh_token)
        const last = await ask(configs[from], client, {
          ...grant,
          refresh_token: next.refresh_token,
        })
        expect(await callWith(configs[to], last.access_token)).toBe(200)
      },
    )

    test.each(BOTH_WAYS)(
      'who signs in at %s has the code redeemed at %s, and is signed in there',
      async (_one, _other, from, to) => {
        const client = await createClient(from, {
          grant_types: ['authorization_code'],
          redirect_uris: [CALLBACK],
        })
        const username = `mei-${from}`
        await admins[from].create('users', { username, password: PASSWORD })
        let at = from
        const addressOf = (url: URL) =>
          new URL(url.pathname + url.search, `http://${configs[at].issuer.listen}`)
        const person = startPerson({ username, route: addressOf })
        const { verifier, challenge } = createPkce()
        const parameters = new URLSearchParams({
          client_id: client.client_id,
          response_type: 'code',
          redirect_uri: CALLBACK,
          scope: 'openid ocr_api_access',
          code_challenge: challenge,
          code_challenge_method: 'S256',
        })
        const authorization = `${configs.old.issuer.url}/auth?${String(parameters)}`
        const code = (await person.visit(authorization)).searchParams.get('code') ?? ''
        const { access_token } = await ask(configs[to], client, {
          grant_type: 'authorization_code',
          code,
          code_verifier: verifier,
          redirect_uri: CALLBACK,
        })
        expect(await callWith(configs[from], access_token)).toBe(200)
        at = to
        const again = await person.visit(`${authorization}&prompt=none`)
        expect(again.searchParams.get('error')).toBeNull()
      },
    )

    test.each(BOTH_WAYS)(
      'what %s revokes is void at %s and at both proxies',
      async (_one, _other, from, to) => {
        const client = await createClient(to)
        const { access_token } = await ask(configs[to], client, {})
        expect(await callWith(configs.old, access_token)).toBe(200)
        expect(await callWith(configs.new, access_token)).toBe(200)
        await admins[from].create('revocations', { kind: 'client', value: client.client_id })
        for (const config of [configs.old, configs.new]) {
          await waitUntil('a refusal', async () => (await callWith(config, access_token)) === 401)
        }
      },
    )

    test.each(BOTH_WAYS)(
      'what is used at the proxy of %s counts at that of %s',
      async (_one, _other, from, to) => {
        const client = await createClient(from, { limits: { daily_requests: 4 } })
        const { access_token } = await ask(configs[to], client, {})
        const statuses: number[] = []
        for (const version of [from, to, from, to, from, to]) {
          statuses.push(await callWith(configs[version], access_token))
        }
        expect(statuses).toEqual([200, 200, 200, 200, 429, 429])
      },
    )

    test.each(BOTH_WAYS)(
      'after %s has rotated the keys %s signs with the new one, too',
      async (_one, _other, from, to) => {
        const client = await createClient(from)
        const kidOf = async (version: Version) => {
          const { access_token } = await ask(configs[version], client, {})
          const [header = ''] = access_token.split('.')
          const { kid } = headerSchema.parse(
            JSON.parse(Buffer.from(header, 'base64url').toString()),
          )
          return { kid, access_token }
        }
        const before = await kidOf(to)
        await waitUntil('a key that was published for long enough', async () => {
          await admins[from].call({ method: 'POST', path: 'keys/rotate', query: { when: 'now' } })
          return true
        })
        await waitUntil('the new key', async () => (await kidOf(to)).kid !== before.kid)
        const after = await kidOf(to)
        expect((await kidOf(from)).kid).toBe(after.kid)
        for (const { access_token } of [before, after]) {
          expect(await callWith(configs.old, access_token)).toBe(200)
          expect(await callWith(configs.new, access_token)).toBe(200)
        }
      },
    )

    // The last one: it ends what the others need.
    test('when this release is taken back, the previous one goes on with what it left', async () => {
      const client = await createClient('new', { client_credentials_refresh: true })
      const tokens = await ask(configs.new, client, {})
      await Promise.all(programs.new.map(stop))
      await Promise.all(programs.old.map(stop))
      await start('old', 'issuer', flags.old)
      await start('old', 'proxy', flags.old)
      expect(await callWith(configs.old, tokens.access_token)).toBe(200)
      const { refresh_token } = tokens
      const next = await ask(configs.old, client, { grant_type: 'refresh_token', refresh_token })
      expect(await callWith(configs.old, next.access_token)).toBe(200)
    }, 120_000)
  })

  describe('one after the other on the embedded store', () => {
    test('this release goes on with the files of the previous one, which can take them back', async () => {
      const config = await testConfig(join(dir, 'embedded'))
      const flags = flagsOf(config, [])
      let client: Client | undefined
      const tokens: string[] = []
      for (const version of ['old', 'new', 'old'] as const) {
        const issuer = await start(version, 'issuer', flags)
        // Made by the one before.
        if (client !== undefined) tokens.push((await ask(config, client, {})).access_token)
        client = clientSchema.parse(await (await adminOf(config)).create('clients', {}))
        await stop(issuer)
      }
      expect(tokens).toEqual([expect.stringMatching(/^ey/), expect.stringMatching(/^ey/)])
    }, 300_000)
  })
})
