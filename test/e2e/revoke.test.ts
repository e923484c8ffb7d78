import { decodeJwt, decodeProtectedHeader } from 'jose'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommand } from '../support/command.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { waitUntil } from '../support/wait-until.ts'

let model: ModelServer
let gatehouse: Gatehouse
let env: Record<string, string>
beforeAll(async () => {
  model = await startModelServer()
  gatehouse = await startGatehouse(model.url)
  env = {
    GATEHOUSE_ADMIN_URL: `http://${gatehouse.config.admin.listen}`,
    GATEHOUSE_ADMIN_KEY_FILE: join(gatehouse.dir, 'keys', 'admin.jwk'),
  }
})
afterAll(async () => {
  await gatehouse.close()
  await model.close()
})

const statusWith = async (token: string) =>
  (
    await fetch(`${gatehouse.config.proxy.url}/v1/models`, {
      headers: { authorization: `Bearer ${token}` },
    })
  ).status
const revoke = (...args: string[]) => runCommand(['revoke', ...args], env)

/** The name of it in the token, and the flags that revoke it. */
function flagsFor(kind: string, token: string): string[] {
  const { jti = '', exp, client_id, sub = '', tenant_id } = decodeJwt(token)
  const flags: Record<string, string[]> = {
    jti: ['--jti', jti, '--exp', String(exp)],
    client: ['--client', String(client_id)],
    sub: ['--sub', sub],
    tenant: ['--tenant', String(tenant_id)],
    kid: ['--kid', String(decodeProtectedHeader(token).kid)],
  }
  return flags[kind] ?? []
}

test('gatehouse tokens explain says why the proxy refuses, and its exit code whether it does', async () => {
  const { clientId, clientSecret } = await gatehouse.createClient()
  const issued = await gatehouse.requestToken({ clientId, clientSecret })
  const { access_token: token } = (await issued.json()) as { access_token: string }
  const good = await runCommand(['tokens', 'explain', token], env)
  expect(good).toMatchObject({ code: 0, stderr: '' })
  expect(good.stdout).toMatch(/key known +passed +active\n[^]*The proxy would let it in\.\n$/)

  await revoke('--client', clientId)
  const { code, stdout } = await runCommand(['tokens', 'explain', '-', '--json'], env, `${token}\n`)
  const { accepted, checks } = JSON.parse(stdout) as { accepted: boolean; checks: unknown[] }
  expect({ code, accepted }).toEqual({ code: 1, accepted: false })
  expect(checks).toContainEqual(
    expect.objectContaining({ check: 'not revoked', outcome: 'refused', reason: 'revoked' }),
  )
  const log = JSON.stringify(gatehouse.logged)
  expect(log).toContain('admin.tokens.explain')
  expect(log).not.toContain(token.split('.')[2])
})

test('gatehouse tokens explain --resource says what another resource would say', async () => {
  const { clientId, clientSecret } = await gatehouse.createClient()
  const issued = await gatehouse.requestToken({ clientId, clientSecret })
  const { access_token: token } = (await issued.json()) as { access_token: string }
  const resource = `${gatehouse.config.issuer.url}/admin`
  const elsewhere = await runCommand(['tokens', 'explain', token, '--resource', resource], env)
  expect(elsewhere.code).toBe(1)
  expect(elsewhere.stdout).toMatch(/audience +refused[^]*\/admin would refuse it\.\n$/)
})

describe('gatehouse revoke', () => {
  test('says in JSON what the admin API says', async () => {
    const { clientId } = await gatehouse.createClient()
    const { stdout } = await revoke('--client', clientId, '--json')
    expect(JSON.parse(stdout)).toMatchObject({ kind: 'client', value: clientId })
  })

  test.each([
    ['nothing named', []],
    ['two things named', ['--client', 'a', '--sub', 'b']],
    ['a jti without its exp', ['--jti', 'j']],
    ['an exp without a jti', ['--client', 'a', '--exp', '1790000000']],
    ['an exp that is no number', ['--jti', 'j', '--exp', 'tomorrow']],
  ])('with %s is a usage error', async (_title, args) => {
    const { code, stdout, stderr } = await revoke(...args)
    expect([code, stdout]).toEqual([64, ''])
    expect(stderr).toContain('error: ')
  })

  test('of a client that is not there fails instead of revoking nothing', async () => {
    const { code, stderr } = await revoke('--client', 'misspelt')
    expect([code, stderr]).toEqual([1, expect.stringContaining('no such client')])
  })

  // The kid comes last: the operator's own token of that second goes with it.
  test.each(['jti', 'client', 'sub', 'tenant', 'kid'])(
    '--%s ends a token that works, at a proxy that has seen it',
    async (kind) => {
      const token = await gatehouse.issueToken({}, { tenant_id: `tenant-of-${kind}` })
      expect(await statusWith(token)).toBe(200)
      const { code, stdout, stderr } = await revoke(...flagsFor(kind, token))
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout).toMatch(/ (is|are) revoked/)
      await waitUntil('the refusal', async () => (await statusWith(token)) === 401)
    },
  )
})
