import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { freePorts } from '../../src/cli/free-ports.ts'
import { NO_IDENTITY } from '../../src/proxy/identity-headers.ts'
import { createDpopClient } from '../support/dpop-client.ts'
import { startLoneProxy, type LoneProxy } from '../support/lone-proxy.ts'
import { exchangeRaw, statusOf } from '../support/raw-http.ts'
import { hasTool } from '../support/tool.ts'
import { waitUntil } from '../support/wait-until.ts'

const examples = fileURLToPath(new URL('../../examples/forward-auth/', import.meta.url))
/** Where the tests of the other examples put it, with INTEROP=1. */
const ENVOY = join(tmpdir(), 'gatehouse-interop/envoy/bin/envoy')

const SERVERS = [
  { name: 'nginx', file: 'nginx.conf', probe: ['nginx', '-v'] },
  { name: 'caddy', file: 'Caddyfile', probe: ['caddy', 'version'] },
  { name: 'envoy', file: 'envoy.yaml', probe: [ENVOY, '--version'] },
  { name: 'traefik', file: 'traefik-dynamic.yaml', probe: ['traefik', 'version'] },
] as const
const commands = (folder: string, port: number): Record<string, string[]> => ({
  nginx: ['nginx', '-p', folder, '-c', 'nginx.conf', '-g', 'daemon off;'],
  caddy: ['caddy', 'run', '--config', 'Caddyfile', '--adapter', 'caddyfile'],
  envoy: [ENVOY, '-c', 'envoy.yaml', '--use-dynamic-base-id'],
  traefik: [
    'traefik',
    `--entrypoints.web.address=127.0.0.1:${port}`,
    '--providers.file.filename=traefik-dynamic.yaml',
  ],
})
const here = SERVERS.filter(({ name, probe }) =>
  hasTool(probe, `examples/forward-auth IS NOT TRIED WITH ${name}`),
)

/** The names of an identity with - and _ in every mixture, as many servers take them for the same. */
const FORGED = Object.fromEntries(
  NO_IDENTITY.filter((name) => name !== '')
    .flatMap((name) =>
      name
        .split('-')
        .map((part) => [part])
        .reduce((forms, [part]) => forms.flatMap((form) => [`${form}-${part}`, `${form}_${part}`])),
    )
    .map((name) => [name, 'forged']),
)
const identityIn = (headers: IncomingHttpHeaders = {}) =>
  Object.entries(headers).filter(([name]) => name.replaceAll('_', '-').startsWith('x-gatehouse-'))

let proxy: LoneProxy
beforeAll(async () => {
  proxy = await startLoneProxy(['proxy.forwardAuth=true', 'proxy.cors.origins=https://app.example'])
})
afterAll(() => proxy.close())
beforeEach(() => {
  proxy.model.received.length = 0
})

/** The example as it is, with the addresses of this test in it, once it answers what is no route of Gatehouse so. */
async function start(
  { name, file }: (typeof SERVERS)[number],
  gatehouse: number,
  isVerdict: (status: number) => boolean,
) {
  const [port = 0] = await freePorts(1)
  const folder = mkdtempSync(join(tmpdir(), `gatehouse-${name}-`))
  cpSync(examples, folder, { recursive: true })
  const ports = { 8080: gatehouse, 8000: Number(new URL(proxy.model.url).port), 8070: port }
  const text = Object.entries(ports).reduce(
    (result, [from, to]) =>
      result.replaceAll(new RegExp(`(:|port_value: )${from}\\b`, 'g'), `$1${to}`),
    readFileSync(join(folder, file), 'utf8'),
  )
  writeFileSync(join(folder, file), text)
  const [program = '', ...args] = commands(folder, port)[name] ?? []
  const env = { ...process.env, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder }
  const child: ChildProcess = spawn(program, args, { cwd: folder, env, stdio: 'ignore' })
  // Traefik answers before it has read its file.
  await waitUntil(`a verdict through ${name}`, async () =>
    isVerdict((await fetch(`http://127.0.0.1:${port}/`)).status),
  )
  return {
    port,
    async stop() {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
      rmSync(folder, { recursive: true })
    },
  }
}

describe.each(here)('$name in front of the model server', (server) => {
  let front: Awaited<ReturnType<typeof start>>
  let token: string
  beforeAll(async () => {
    front = await start(server, proxy.port, (status) => status === 403)
    token = await proxy.issuer.sign({ sub: 'robot', tenant_id: 'acme' })
  })
  afterAll(() => front.stop())

  const ask = (path: string, headers: Record<string, string> = {}, init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${front.port}${path}`, { ...init, headers })
  /** A GET with the token, its path not tidied up by a client. */
  const askRaw = (path: string, connection: string) => {
    const host = `127.0.0.1:${front.port}`
    const head = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: ${connection}\r\n`
    return exchangeRaw(front.port, `${head}Authorization: Bearer ${token}\r\n\r\n`)
  }
  const authorized = () => ({ authorization: `Bearer ${token}` })

  test('lets in who has a token, says who it is and keeps the token', async () => {
    const body = JSON.stringify({ prompt: 'x'.repeat(5000) })
    const answer = await ask(
      '/v1/chat/completions?a=b',
      { ...authorized(), ...FORGED, 'content-type': 'application/json' },
      { method: 'POST', body },
    )
    expect(answer.status).toBe(200)
    expect(proxy.model.received).toHaveLength(1)
    const [request] = proxy.model.received
    expect(request).toMatchObject({ method: 'POST', target: '/v1/chat/completions?a=b' })
    expect(request?.body.toString()).toBe(body)
    expect(request?.headers).toMatchObject({
      'x-gatehouse-subject': 'robot',
      'x-gatehouse-tenant': 'acme',
      'x-gatehouse-scope': 'ocr_api_access',
    })
    expect(JSON.stringify(request?.headers)).not.toContain(token)
  })

  test('refuses with the challenge who has none, or one without the scope', async () => {
    const without = await ask('/v1/models')
    expect(without.status).toBe(401)
    expect(without.headers.get('www-authenticate')).toContain('resource_metadata=')
    const scopeless = await proxy.issuer.sign({ scope: 'openid' })
    expect((await ask('/v1/models', { authorization: `Bearer ${scopeless}` })).status).toBe(403)
    expect(proxy.model.received).toHaveLength(0)
  })

  test('passes on what needs no token, with no identity, whatever the caller claims', async () => {
    expect((await ask('/health', FORGED)).status).toBe(200)
    expect(proxy.model.received).toHaveLength(1)
    expect(
      identityIn(proxy.model.received[0]?.headers)
        .map(([, value]) => value)
        .join(''),
    ).toBe('')
  })

  test('passes on no name of an identity that some server may read as ours', async () => {
    expect((await ask('/v1/models', { ...FORGED, ...authorized() })).status).toBe(200)
    const identity = identityIn(proxy.model.received[0]?.headers)
    expect(identity).toContainEqual(['x-gatehouse-subject', 'robot'])
    expect(identity.filter(([name, value]) => name.includes('_') || value === 'forged')).toEqual([])
  })

  test.each([
    ['another path', '/admin'],
    ['an encoded path', '/v1/%6dodels'],
    ['a path with dots', '/health/../v1/secret'],
    ['two slashes', '//health'],
    ['an encoded slash', '/v1%2fmodels'],
    ['encoded dots', '/health/%2e%2e/v1/secret'],
    ['encoded dots and slashes', '/health%2f..%2fv1%2fsecret'],
    ['a backslash', '/health\\..\\v1\\secret'],
    ['parameters of a path', '/health/..;/v1/secret'],
    ['an encoded question mark', '/health%3f/../v1/secret'],
    ['a fragment', '/v1/secret#/../../health'],
    ['an absolute address', 'http://127.0.0.1/v1/secret'],
  ])('never passes on what is no route: %s', async (_title, path) => {
    const answer = await askRaw(path, 'close')
    const passedOn = proxy.model.received.map(({ target }) => target)
    expect([403, 400, 200]).toContain(statusOf(answer))
    expect(passedOn.filter((target) => !['/v1/models', '/health'].includes(target))).toEqual([])
  })

  test('lets nobody ask about another request than the one that is passed on', async () => {
    for (const [method, uri] of [
      ['x-original-method', 'x-original-uri'],
      ['x-forwarded-method', 'x-forwarded-uri'],
    ] as const) {
      const claimed = { [method]: 'GET', [uri]: '/health' }
      expect((await ask('/v1/models', claimed)).status).toBe(401)
      expect(proxy.model.received).toHaveLength(0)
      expect((await ask('/v1/models', { ...claimed, ...authorized() })).status).toBe(200)
      expect(proxy.model.received.splice(0)).toMatchObject([
        { method: 'GET', target: '/v1/models' },
      ])
    }
  })

  test.each([
    ['', {}],
    [' with an origin that Gatehouse names', { origin: 'https://app.example' }],
  ])('leaves no preflight through%s, which has no token', async (_title, origin) => {
    const asked = { 'access-control-request-method': 'POST', ...origin }
    const answer = await ask('/v1/chat/completions', asked, { method: 'OPTIONS' })
    expect(answer.status).toBe(403)
    expect(proxy.model.received).toHaveLength(0)
  })

  test('lets nobody strip the identity by calling it a header of the connection', async () => {
    const names = NO_IDENTITY.filter((name) => name !== '').join(', ')
    const answer = await askRaw('/v1/models', `close, ${names}`)
    expect(statusOf(answer)).toBe(200)
    expect(proxy.model.received[0]?.headers).toMatchObject({
      'x-gatehouse-subject': 'robot',
      'x-gatehouse-tenant': 'acme',
    })
  })

  test('passes on a body, and a stream of events, as they come', async () => {
    const begun = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    proxy.model.answer(async (req, res) => {
      for await (const _chunk of req) begun.resolve()
      res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
      await goOn.promise
      res.end('data: 2\n\n')
    })
    const path = '/v1/chat/completions'
    const options = { port: front.port, path, method: 'POST', headers: authorized() }
    const sent = request({ host: '127.0.0.1', ...options })
    const answered = once(sent, 'response')
    sent.write('{')
    await begun.promise
    sent.end('}')
    const [answer] = (await answered) as [IncomingMessage]
    const events = answer.setEncoding('utf8').iterator()
    expect(await events.next()).toMatchObject({ value: 'data: 1\n\n' })
    goOn.resolve()
    expect(await events.next()).toMatchObject({ value: 'data: 2\n\n' })
    expect(await events.next()).toMatchObject({ done: true })
    proxy.model.answer()
  })

  test('lets nobody in while Gatehouse does not answer', async () => {
    const [nobody = 0] = await freePorts(1)
    const alone = await start(server, nobody, (status) => status >= 500)
    for (const path of ['/v1/models', '/health']) {
      const url = `http://127.0.0.1:${alone.port}${path}`
      expect((await fetch(url, { headers: authorized() })).status).toBeGreaterThanOrEqual(500)
    }
    expect(proxy.model.received).toHaveLength(0)
    await alone.stop()
  })

  test('passes on a bound token with a proof for the public address', async () => {
    const client = await createDpopClient(() => proxy.time.now)
    const accessToken = await proxy.issuer.sign({ cnf: { jkt: client.jkt } })
    const uri = `${proxy.url}/v1/models`
    const dpop = await client.prove({ method: 'GET', uri, accessToken })
    const headers = { authorization: `DPoP ${accessToken}`, dpop }
    expect((await ask('/v1/models', headers)).status).toBe(200)
    expect((await ask('/v1/models', headers)).status, 'the same proof again').toBe(401)
    const stale = await client.prove({ method: 'GET', uri, accessToken }, { iat: 1 })
    const refused = await ask('/v1/models', { ...headers, dpop: stale })
    expect(refused.headers.get('www-authenticate')).toContain('use_dpop_nonce')
    const nonce = refused.headers.get('dpop-nonce')
    const fresh = await client.prove({ method: 'GET', uri, accessToken }, { iat: 1, nonce })
    expect((await ask('/v1/models', { ...headers, dpop: fresh })).status).toBe(200)
    expect(proxy.model.received.map(({ headers: got }) => got['dpop'])).toEqual([
      undefined,
      undefined,
    ])
  })
})
