import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditFileName } from '../../src/audit/audit-files.ts'
import { formatDraft } from '../../src/audit/record.ts'
import { freePorts } from '../../src/cli/free-ports.ts'
import { loadOrCreateClientKey } from '../../src/keys/client-key-file.ts'
import { callFacts, linkDrafts } from '../support/audit-lines.ts'
import { runCommand, startCommand } from '../support/command.ts'
import { waitUntil } from '../support/wait-until.ts'

let dir: string
let env: Record<string, string>
/** What an operator on another machine knows: nothing but where the admin API is, and the key. */
let remote: Record<string, string>
let issuer: ReturnType<typeof startCommand>

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gatehouse-admin-cli-'))
  const [port, ops, admin] = await freePorts(3)
  env = {
    GATEHOUSE_DATA_DIR: join(dir, 'data'),
    GATEHOUSE_KEYS__DIR: join(dir, 'keys'),
    GATEHOUSE_ISSUER__URL: `http://localhost:${port}`,
    GATEHOUSE_ISSUER__LISTEN: `127.0.0.1:${port}`,
    GATEHOUSE_ISSUER__OPS_LISTEN: `127.0.0.1:${ops}`,
    GATEHOUSE_ADMIN__LISTEN: `127.0.0.1:${admin}`,
  }
  remote = {
    GATEHOUSE_ADMIN_URL: `http://localhost:${admin}`,
    GATEHOUSE_ADMIN_KEY_FILE: join(dir, 'keys', 'admin.jwk'),
  }
  await runCommand(['init', '--json'], env)
  issuer = startCommand(['issuer'], env)
  await waitUntil('the admin API', async () => (await runCommand(['status'], remote)).code === 0)
})
afterAll(async () => {
  issuer.child.kill('SIGTERM')
  await issuer.finished
  await rm(dir, { recursive: true })
})

/** Runs it as the remote operator; the one JSON document that it prints. */
async function run(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runCommand([...args, '--json'], remote)
  expect([code, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as Record<string, unknown>
}

const refused = (exitCode: number, message: RegExp) => ({
  code: exitCode,
  stdout: '',
  stderr: expect.stringMatching(message),
})

test('init makes a key that only its owner can read, and again changes nothing', async () => {
  const path = join(dir, 'other', 'admin.jwk')
  const other = { GATEHOUSE_DATA_DIR: join(dir, 'other'), GATEHOUSE_KEYS__DIR: join(dir, 'other') }
  const { stdout } = await runCommand(['init'], other)
  expect(stdout).toContain(path)
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  const key = await readFile(path, 'utf8')
  expect(JSON.parse(key)).toMatchObject({ kty: 'EC', crv: 'P-256', alg: 'ES256' })
  expect((await runCommand(['init'], other)).code).toBe(0)
  expect(await readFile(path, 'utf8')).toBe(key)
})

test('a tenant and its client live and die by the command line, while the server runs', async () => {
  const acme = ['--tenant', 'acme']
  expect(
    await run('tenants', 'create', '--id', 'acme', '--limits', 'tenant.rpm=9,weight=2'),
  ).toMatchObject({
    tenant_id: 'acme',
    status: 'active',
    limits: { tenant: { rpm: 9 }, weight: 2 },
  })
  expect(
    await run('tenants', 'update', 'acme', '--name', '顶点', '--limits', 'none'),
  ).toMatchObject({
    name: '顶点',
  })
  const client = await run('clients', 'create', '--id', 'robot', ...acme, '--limits', 'rpm=60')
  expect(client).toMatchObject({
    client_id: 'robot',
    tenant_id: 'acme',
    scope: 'ocr_api_access',
    grant_types: ['client_credentials'],
    limits: { rpm: 60 },
    client_secret: expect.stringMatching(/^[\w-]{43}$/),
  })
  const shown = await run('clients', 'show', 'robot')
  expect({ ...shown, client_secret: client['client_secret'] }).toEqual(client)

  const credentials = ['--client-id', 'robot', '--client-secret', String(client['client_secret'])]
  const issue = async () => (await runCommand(['tokens', 'issue', ...credentials], env)).code
  expect(await issue()).toBe(0)
  expect(await run('tenants', 'suspend', 'acme')).toMatchObject({ status: 'suspended' })
  expect(await issue()).toBe(1)
  expect(await run('tenants', 'resume', 'acme')).toMatchObject({ status: 'active' })
  expect(await run('clients', 'disable', 'robot')).toMatchObject({ status: 'disabled' })
  expect(await issue()).toBe(1)
  expect(await run('clients', 'enable', 'robot')).toMatchObject({ status: 'active' })

  expect(await run('tenants', 'delete', 'acme')).toEqual({})
  expect(await runCommand(['clients', 'show', 'robot'], remote)).toEqual(
    refused(1, /^error: There is no such object.*\nhint: see: clients list\n$/),
  )
})

test('a user of a tenant is found by name, in any case', async () => {
  const people = ['--tenant', 'people']
  await run('tenants', 'create', '--id', 'people')
  const password = 'correct horse\nand what comes after is not read\n'
  const create = ['users', 'create', 'Zhang.Wei', ...people, '--password-stdin', '--json']
  const made = await runCommand(create, remote, password)
  expect(made).toMatchObject({ code: 0, stderr: '' })
  const user = JSON.parse(made.stdout) as Record<string, unknown>
  expect(await run('users', 'show', 'zhang.wei', ...people)).toEqual(user)
  expect(await run('users', 'show', String(user['sub']))).toEqual(user)
  expect(await run('users', 'update', 'zhang.wei', ...people, '--name', '张伟')).toMatchObject({
    name: '张伟',
  })
  const reset = ['users', 'set-password', 'zhang.wei', ...people, '--password-stdin']
  expect(await runCommand(reset, remote, 'another one')).toMatchObject({ code: 0 })
  expect(await run('users', 'disable', 'zhang.wei', ...people)).toMatchObject({
    status: 'disabled',
  })
  expect(await run('users', 'enable', 'zhang.wei', ...people)).toMatchObject({ status: 'active' })
  expect(await run('users', 'list', ...people)).toMatchObject({
    items: [{ username: 'zhang.wei' }],
  })
  expect(await run('users', 'delete', 'zhang.wei', ...people)).toEqual({})
})

test('a secret is replaced without a gap, and each is shown once', async () => {
  const first = await run('clients', 'create', '--id', 'rotating')
  const second = await run('clients', 'rotate-secret', 'rotating', '--label', 'new')
  const issueWith = async (secret: unknown) => {
    const flags = ['--client-id', 'rotating', '--client-secret', String(secret)]
    return (await runCommand(['tokens', 'issue', ...flags], env)).code
  }
  expect([
    await issueWith(first['client_secret']),
    await issueWith(second['client_secret']),
  ]).toEqual([0, 0])
  const { stdout } = await runCommand(['clients', 'show', 'rotating'], remote)
  expect(stdout).toContain(String(second['secret_id']))
  expect(stdout).not.toContain(String(second['client_secret']))
  const { items } = (await run('clients', 'list-secrets', 'rotating')) as { items: object[] }
  expect(items).toEqual([
    expect.objectContaining({ last_used_at: expect.any(Number) }),
    expect.objectContaining({ secret_id: second['secret_id'], label: 'new' }),
  ])
  expect(JSON.stringify(items)).not.toMatch(/client_secret|hash|hint/)
  const remove = ['clients', 'remove-secret', 'rotating', String(second['secret_id'])]
  expect(await runCommand(remove, remote)).toEqual(refused(1, /^error: The secret was used/))
  expect(await runCommand([...remove, '--force'], remote)).toMatchObject({ code: 0 })
  expect(await issueWith(second['client_secret'])).toBe(1)
})

test('create takes every flag of a client', async () => {
  const jwks = join(dir, 'jwks.json')
  const { d: _private, ...publicKey } = await loadOrCreateClientKey(join(dir, 'client.jwk'))
  await writeFile(jwks, JSON.stringify({ keys: [publicKey] }))
  const flags = [
    ['--id', 'full'],
    ['--name', 'Full'],
    ['--scope', 'openid ocr_api_access'],
    ['--grant', 'client_credentials,authorization_code,refresh_token,device_code'],
    ['--auth-method', 'private_key_jwt'],
    ['--redirect-uri', 'https://one.example/cb'],
    ['--redirect-uri', 'https://two.example/cb'],
    ['--jwks', jwks],
    ['--limits', 'rpm=1,concurrency=2,daily_requests=3,daily_tokens=4'],
    ['--refresh'],
  ].flat()
  const client = await run('clients', 'create', ...flags)
  expect(client).toMatchObject({
    client_id: 'full',
    scope: 'openid ocr_api_access',
    grant_types: [
      'client_credentials',
      'authorization_code',
      'refresh_token',
      'urn:ietf:params:oauth:grant-type:device_code',
    ],
    token_endpoint_auth_method: 'private_key_jwt',
    redirect_uris: ['https://one.example/cb', 'https://two.example/cb'],
    jwks: { keys: [{ kid: publicKey.kid }] },
    limits: { rpm: 1, concurrency: 2, daily_requests: 3, daily_tokens: 4 },
    client_credentials_refresh: true,
  })
  expect(client).not.toHaveProperty('client_secret')
})

test('create takes what binds a client and its tokens to keys and certificates', async () => {
  const byKeys = ['--auth-method', 'private_key_jwt', '--jwks-uri', 'https://keys.example/jwks']
  expect(await run('clients', 'create', ...byKeys, '--dpop')).toMatchObject({
    jwks_uri: 'https://keys.example/jwks',
    dpop_bound_access_tokens: true,
  })
  const byCertificate = ['--auth-method', 'tls_client_auth', '--tls-subject-dn', 'CN=robot']
  expect(await run('clients', 'create', ...byCertificate, '--certificate-bound')).toMatchObject({
    tls_client_auth_subject_dn: 'CN=robot',
    tls_client_certificate_bound_access_tokens: true,
  })
})

test.each([
  ['tls_client_auth', ['--tls-subject-dn', 'CN=robot'], { tls_client_auth_subject_dn: 'CN=robot' }],
  ['tls_client_auth', ['--tls-san-dns', 'a.example'], { tls_client_auth_san_dns: 'a.example' }],
  ['tls_client_auth', ['--tls-san-uri', 'urn:a'], { tls_client_auth_san_uri: 'urn:a' }],
  ['tls_client_auth', ['--tls-san-ip', '10.0.0.1'], { tls_client_auth_san_ip: '10.0.0.1' }],
  [
    'tls_client_auth',
    ['--tls-san-email', 'a@b.example'],
    { tls_client_auth_san_email: 'a@b.example' },
  ],
  ['private_key_jwt', ['--jwks-uri', 'https://a.example/k'], { jwks_uri: 'https://a.example/k' }],
  ['client_secret_basic', ['--subject-limits', 'rpm=1'], { subject_limits: { rpm: 1 } }],
  ['client_secret_post', ['--dpop'], { dpop_bound_access_tokens: true }],
  [
    'none',
    [
      ['--grant', 'authorization_code', '--redirect-uri', 'https://a.example/cb'],
      ['--post-logout-redirect-uri', 'https://a.example/bye', '--require-par'],
    ].flat(),
    {
      post_logout_redirect_uris: ['https://a.example/bye'],
      require_pushed_authorization_requests: true,
    },
  ],
])('a client of %s is made with %j', async (method, flags, members) => {
  expect(await run('clients', 'create', '--auth-method', method, ...flags)).toMatchObject({
    token_endpoint_auth_method: method,
    ...members,
  })
})

test('an update takes away by none and no-, and changes how a client proves itself', async () => {
  await run('clients', 'create', '--id', 'moving', '--refresh', '--dpop', '--limits', 'rpm=1')
  const { resources } = await run('clients', 'update', 'moving', '--resource', 'urn:archive')
  expect(resources).toEqual(['urn:archive'])
  const without = ['--no-refresh', '--no-dpop', '--limits', 'none', '--resource', 'none']
  const bare = await run('clients', 'update', 'moving', ...without)
  expect(bare).toMatchObject({ client_credentials_refresh: false, dpop_bound_access_tokens: false })
  expect(bare).not.toHaveProperty('limits')
  expect(bare).not.toHaveProperty('resources')
  const byJwt = ['--auth-method', 'private_key_jwt', '--jwks-uri', 'https://a.example/k']
  expect(await run('clients', 'update', 'moving', ...byJwt)).toHaveProperty('jwks_uri')
  const bySecret = ['--auth-method', 'client_secret_basic', '--jwks-uri', 'none']
  expect(await run('clients', 'update', 'moving', ...bySecret)).not.toHaveProperty('jwks_uri')
})

test('usage adds up what the proxies have on record, page by page, for people and spreadsheets', async () => {
  const subjects = Array.from({ length: 1100 }, (_, i) => `user:${String(i).padStart(4, '0')}`)
  const drafts = [...subjects, 'user:0007'].map((sub, i) =>
    formatDraft(
      { time: '2026-01-31T12:00:00.000Z', writer: 'proxy-1', seq: i + 1 },
      { ...callFacts('x'), tenant_id: 'acme', sub, usage: { completion_tokens: 2 } },
    ),
  )
  const lines = linkDrafts(drafts)
  const file = join(dir, 'data', 'audit', auditFileName('2026-01-31', 'proxy-1'))
  await writeFile(file, `${lines.join('\n')}\n`)

  const flags = ['usage', '--from', '2026-01-31', '--to', '2026-01-31', '--by']
  const bySubject = await run(...flags, 'subject')
  expect(bySubject).toMatchObject({ from: '2026-01-31', to: '2026-01-31' })
  const rows = bySubject['items'] as { sub: string; completion_tokens: number }[]
  expect(rows.map(({ sub }) => sub)).toEqual(subjects)
  expect(rows[7]).toMatchObject({ requests: 2, completion_tokens: 4 })
  const read = await run(...flags, 'subject', '--dir', join(dir, 'data', 'audit'))
  expect(read).toEqual(bySubject)

  const table = await runCommand([...flags, 'tenant'], remote)
  expect(table.stdout).toMatch(/^acme +1101 +0 +0 +2202 .*█{20}$/m)
  const csv = await runCommand([...flags, 'client', '--csv', '--client', 'robot'], remote)
  expect(csv.stdout).toMatch(/\r\nacme,robot,1101,0,0,2202,/)

  const wrong = await runCommand(['usage', '--from', '2026-02-30'], remote)
  expect(wrong).toMatchObject(refused(64, /^error: --from: must be a day such as/))
  const backwards = await runCommand([...flags, 'tenant', '--to', '2026-01-01'], remote)
  expect(backwards).toMatchObject(refused(64, /--from: is after --to/))
})

describe('for people', () => {
  test('lists are tables, and create shows the secret with a warning on stderr', async () => {
    const created = await runCommand(['clients', 'create', '--id', 'human'], remote)
    expect(created).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^client_id +human\nclient_secret +[\w-]{43}\n$/),
      stderr: expect.stringContaining('shown this once'),
    })
    const { stdout } = await runCommand(['clients', 'list'], remote)
    expect(stdout).toMatch(/^CLIENT +TENANT +STATUS +SCOPE +CREATED +NAME\n/)
    expect(stdout).toMatch(/^human +default +active +ocr_api_access /m)
    let status = ''
    await waitUntil('a report of the issuer', async () => {
      status = (await runCommand(['status'], remote)).stdout
      return /^issuer +\S+-\d+ +\d.* ready$/m.test(status)
    })
    expect(status).toMatch(/^store +sqlite /m)
    expect(status).toMatch(/^ROLE +INSTANCE +VERSION +SINCE +MODEL SERVERS +STATE$/m)
  })

  test.each([
    ['clients', 'create'],
    ['tenants', 'suspend'],
    ['users', 'create'],
    ['status'],
    ['config', 'print'],
    ['clients', 'list-secrets'],
    ['init'],
  ])('%s %s --help has an example', async (...args) => {
    const { code, stdout } = await runCommand([...args, '--help'])
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`Example:\n  npm run -s gatehouse -- ${args.join(' ')}`))
  })

  test.each(['bash', 'zsh', 'fish'])('completion %s knows commands and flags', async (shell) => {
    const { code, stdout } = await runCommand(['completion', shell])
    expect(code).toBe(0)
    expect(stdout).toMatch(/rotate-secret/)
    expect(stdout).toMatch(/clients create.*--redirect-uri/s)
  })
})

describe('what cannot be done', () => {
  test.each([
    [['clients', 'create', '--id', 'a b']],
    [['clients', 'create', '--id', '..']],
    [['clients', 'create', '--limits', 'rpm=x']],
    [['clients', 'create', '--limits', 'speed=1']],
    [['clients', 'create', '--grant', 'password']],
    [['clients', 'create', '--jwks', 'README.md']],
    [['clients', 'create', '--no-such-flag']],
    [['clients', 'rotate-secret', 'robot', '--expires', 'soon']],
    [['tenants', 'create', '--limits', 'rpm=1']],
    [['users', 'create', 'someone']],
    [['users', 'create', 'some one', '--password-stdin']],
    [['clients', 'show']],
    [['clients', 'update', 'robot']],
    [['tenants', 'update', 'default']],
    [['users', 'update', 'someone']],
    [['clients', 'create', '--jwks', 'none']],
    [['clients', 'create', '--auth-method', 'client_secret_jwt']],
    [['clients', 'create', '--auth-method', 'tls_client_auth']],
    [['completion', 'tcsh']],
    [['status', '--admin-url', 'http://admin.example']],
    [['status', '--admin-url', 'nonsense']],
  ])('%j is a usage error, before any server is asked', async (args) => {
    const nowhere = { GATEHOUSE_ADMIN_KEY_FILE: String(remote['GATEHOUSE_ADMIN_KEY_FILE']) }
    expect(await runCommand(args, nowhere, 'long enough')).toEqual(refused(64, /^error: /))
  })

  test('a user of another tenant is looked for there', async () => {
    const { stderr, code } = await runCommand(['users', 'show', 'nobody'], remote)
    expect(stderr).toMatch(
      /^error: there is no user nobody in the tenant default\nhint: .*--tenant/,
    )
    expect(code).toBe(1)
  })

  test('a scope that no resource has is a usage error, found by the server', async () => {
    const args = ['clients', 'create', '--scope', 'unheard_of']
    expect(await runCommand(args, remote)).toEqual(refused(64, /^error: scope: unheard_of is not/))
  })

  test('what is there already is refused', async () => {
    const args = ['clients', 'create', '--id', 'admin']
    expect(await runCommand(args, remote)).toEqual(refused(1, /^error: .*in use/))
  })

  test('a server that does not answer is exit 69, with a hint', async () => {
    const args = ['clients', 'list', '--admin-url', 'http://127.0.0.1:1']
    expect(await runCommand(args, remote)).toEqual(
      refused(69, /^error: the admin API at http:\/\/127\.0\.0\.1:1 cannot be reached\nhint: /),
    )
  })

  test('something else that answers there is said to be that', async () => {
    const args = ['clients', 'list', '--admin-url', String(env['GATEHOUSE_ISSUER__URL'])]
    expect(await runCommand(args, remote)).toEqual(
      refused(1, /^error: what answers at .* is not the admin API/),
    )
  })

  test('a key that is not there, not one, or not the server’s own is said', async () => {
    const list = (key: string) => runCommand(['clients', 'list', '--admin-key', key], remote)
    expect(await list(join(dir, 'none.jwk'))).toEqual(refused(1, /no admin key at .*\nhint: /))
    await writeFile(join(dir, 'bad.jwk'), '{}', { mode: 0o600 })
    expect(await list(join(dir, 'bad.jwk'))).toEqual(refused(78, /not an ES256 private JWK/))
    await loadOrCreateClientKey(join(dir, 'stranger.jwk'))
    expect(await list(join(dir, 'stranger.jwk'))).toEqual(
      refused(1, /^error: the issuer refuses: invalid_client.*\nhint: /),
    )
  })
})
