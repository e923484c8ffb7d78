import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startIssuer, type RunningIssuer } from '../../src/cli/start-issuer.ts'
import type { Config } from '../../src/config/schema.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import { newUserSchema } from '../../src/registry/user.ts'
import { runCommand, startCommand } from '../support/command.ts'
import { createDpopClient } from '../support/dpop-client.ts'
import { fillForms } from '../support/form-filler.ts'
import { settingsOnRedis, testConfig } from '../support/gatehouse.ts'
import { makeClient } from '../support/many-clients.ts'
import { hasRedisServer } from '../support/redis-binary.ts'
import { expectLifetimes, findLeftovers, readLifetimes } from '../support/redis-lifetimes.ts'
import { startRedis, type RedisServers } from '../support/redis-server.ts'
import { waitUntil } from '../support/wait-until.ts'

const around = { log: createLog('silent'), clock: systemClock }

describe.skipIf(!hasRedisServer)('what a running issuer leaves in Redis', () => {
  let dir: string
  let servers: RedisServers
  let config: Config
  let issuer: RunningIssuer
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-lifetimes-'))
    servers = await startRedis()
    config = await testConfig(dir, settingsOnRedis(servers.url))
    issuer = await startIssuer(config, around)
  })
  afterAll(async () => {
    await issuer.close(0)
    await servers.stop()
    await rm(dir, { recursive: true })
  })

  const ask = async (basic: string, headers: Record<string, string> = {}) =>
    fetch(`${config.issuer.url}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(basic).toString('base64')}`, ...headers },
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
    })

  /** The command line, which signs in with an assertion each time. */
  const run = async (args: string[], input = '') => {
    const env = {
      GATEHOUSE_ADMIN_URL: `http://${config.admin.listen}`,
      GATEHOUSE_ADMIN_KEY_FILE: join(config.keys.dir, 'admin.jwk'),
    }
    expect(await runCommand(args, env, input)).toMatchObject({ code: 0 })
  }

  /** Somebody signs in from the terminal, by the pages of the issuer, and stays so. */
  const signIn = async (user: { username: string; password: string }) => {
    await issuer.registry.users.create(newUserSchema.parse(user))
    const env = { XDG_CONFIG_HOME: dir, GATEHOUSE_ISSUER__URL: config.issuer.url }
    const { child, output, finished } = startCommand(['login'], env)
    child.stdin?.end()
    await waitUntil('the instructions', async () => output.stderr.includes('compare it'))
    await fillForms(/or open (\S+)/.exec(output.stderr)?.[1] ?? '', user)
    expect(await finished).toMatchObject({ code: 0 })
  }

  // Codes, pushed requests and reuse: see contract/sign-ins-redis.test.ts, which ends in the same scan.
  test('has an end, but for the registry and what signs', async () => {
    const { clientId, clientSecret } = await makeClient(issuer.registry.clients)
    const dpop = await createDpopClient()
    const { url } = config.issuer
    const proof = await dpop.prove({ method: 'POST', uri: `${url}/token` })
    expect((await ask(`${clientId}:${clientSecret}`)).status).toBe(200)
    expect((await ask(`${clientId}:${clientSecret}`, { dpop: proof })).status).toBe(200)
    expect((await ask(`${clientId}:wrong`)).status).toBe(401)
    expect((await ask('nobody:wrong')).status).toBe(401)
    await run(['tenants', 'create', '--id', 'acme'])
    await run(['clients', 'create', '--id', 'robot', '--tenant', 'acme'])
    await run(['users', 'create', 'zhang', '--tenant', 'acme', '--password-stdin'], 'long enough')
    await run(['users', 'disable', 'zhang', '--tenant', 'acme'])
    await run(['clients', 'rotate-secret', 'robot'])
    await run(['clients', 'disable', 'robot'])
    await run(['clients', 'delete', 'robot'])
    await run(['tenants', 'delete', 'acme'])
    await signIn({ username: 'mei', password: 'long enough' })
    await issuer.registry.saveUses()

    const keys = [...(await readLifetimes(servers)).keys()].join('\n')
    for (const written of [
      'record:used-assertions:',
      'record:{registry}:request/',
      'record:{registry}:used/',
      'record:{registry}:gone/client/robot',
      'record:oidc/Session:',
      'record:oidc/Grant:',
      'record:oidc/RefreshToken:',
      'record:consents:',
      'journal:{revocations}',
    ]) {
      expect(keys).toContain(`gatehouse:${written}`)
    }
    await expectLifetimes(servers)
  })

  test('is found out when it has no end', async () => {
    const key = 'gatehouse:record:oidc/Session:left'
    await servers.nodes[0]?.link.send(['set', key, '{}'])
    expect(await findLeftovers(servers)).toEqual([key])
    await servers.nodes[0]?.link.send(['del', key])
  })
})
