import { X509Certificate, hash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect as connectTls, getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Agent, fetch as fetchOver } from 'undici'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { freePorts } from '../../src/cli/free-ports.ts'
import type { NewClientRequest } from '../../src/registry/client.ts'
import { inspectToken } from '../../src/tokens/inspect.ts'
import {
  AUTHORITY,
  FOR_CLIENTS,
  FOR_LOCALHOST,
  hasOpenssl,
  makeCertificate,
  toByteSequence,
  toJwkWithCertificate,
  type Certified,
} from '../support/certificates.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { exchangeRaw, statusOf } from '../support/raw-http.ts'
import { useTempFolders } from '../support/temp-folders.ts'
import { waitUntil } from '../support/wait-until.ts'

const newFolder = useTempFolders()

const NAMES =
  'subjectAltName=DNS:robot.example,URI:spiffe://example/robot,IP:2001:db8::7,email:robot@example.com'

type Made = Record<'server' | 'ca' | 'sub' | 'otherCa' | 'robot' | 'viaSub', Certified> &
  Record<'stranger' | 'impostor' | 'own' | 'serverOnly', Certified>

async function makeAll(): Promise<Made> {
  const subject = '/O=Example/CN=robot'
  const ca = await makeCertificate({ subject: '/CN=authority', extensions: AUTHORITY })
  const otherCa = await makeCertificate({ subject: '/CN=authority', extensions: AUTHORITY })
  const sub = await makeCertificate({ subject: '/CN=sub', extensions: AUTHORITY, by: ca })
  const extensions = [...FOR_CLIENTS, NAMES]
  return {
    ca,
    otherCa,
    sub,
    server: await makeCertificate({ subject: '/CN=localhost', extensions: FOR_LOCALHOST }),
    robot: await makeCertificate({ subject, extensions, by: ca }),
    viaSub: await makeCertificate({ subject, extensions, by: sub }),
    stranger: await makeCertificate({
      subject: '/O=Example/CN=stranger',
      extensions: FOR_CLIENTS,
      by: ca,
    }),
    impostor: await makeCertificate({ subject, extensions, by: otherCa }),
    own: await makeCertificate({ subject, extensions: FOR_CLIENTS }),
    serverOnly: await makeCertificate({
      subject,
      extensions: ['extendedKeyUsage=serverAuth', NAMES],
      by: ca,
    }),
  }
}

const thumbprintOf = ({ cert }: Certified) =>
  hash('sha256', new X509Certificate(cert).raw, 'base64url')

const byCertificate = (over: NewClientRequest = {}): NewClientRequest => ({
  token_endpoint_auth_method: 'tls_client_auth',
  tls_client_auth_subject_dn: 'CN=robot,O=Example',
  ...over,
})
const selfSigned = (certified: Certified, over: NewClientRequest = {}): NewClientRequest => ({
  token_endpoint_auth_method: 'self_signed_tls_client_auth',
  jwks: { keys: [toJwkWithCertificate(certified)] } as NewClientRequest['jwks'],
  ...over,
})

let made: Made
let model: ModelServer
beforeAll(async () => {
  if (!hasOpenssl) return
  made = await makeAll()
  model = await startModelServer()
  setDefaultCACertificates([...getCACertificates(), made.server.cert])
})
afterAll(async () => {
  await model?.close()
})

/** Whoever shows that certificate, its issuers with it, on connections of its own. */
function agentOf(certified?: Certified, chain: readonly Certified[] = []): Agent {
  const identity =
    certified === undefined
      ? {}
      : { cert: [certified, ...chain].map(({ cert }) => cert).join(''), key: certified.key }
  return new Agent({ connect: { ca: made.server.cert, ...identity } })
}

type TokenRequest = {
  clientId: string
  agent: Agent
  headers?: Record<string, string>
  resource?: string
}
type Answered = { status: number; body: Record<string, unknown> }

async function requestToken(
  url: string,
  { clientId, agent, headers = {}, resource }: TokenRequest,
): Promise<Answered> {
  const response = await fetchOver(`${url}/token`, {
    method: 'POST',
    dispatcher: agent,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: String(
      new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: clientId,
        ...(resource === undefined ? {} : { resource }),
      }),
    ),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

const refused = { status: 401, body: { error: 'invalid_client' } }

describe.skipIf(!hasOpenssl)('RFC 8705 in TLS sessions of our own', () => {
  let gatehouse: Gatehouse
  const idOf = async (request: NewClientRequest) => (await gatehouse.createClient(request)).clientId
  const ask = async (request: NewClientRequest, by?: Certified, chain?: readonly Certified[]) =>
    requestToken(gatehouse.config.issuer.url, {
      clientId: await idOf(request),
      agent: agentOf(by, chain),
    })

  beforeAll(async () => {
    const [issuer, proxy, admin] = await freePorts(3)
    const tlsOf = (role: string, port = 0) => [
      `${role}.listen=127.0.0.1:${port}`,
      `${role}.tls.cert=${made.server.certFile}`,
      `${role}.tls.key=${made.server.keyFile}`,
      `${role}.tls.clientCa=${made.ca.certFile}`,
    ]
    gatehouse = await startGatehouse(model.url, [
      `issuer.url=https://localhost:${issuer}`,
      `proxy.url=https://localhost:${proxy}`,
      ...tlsOf('issuer', issuer),
      ...tlsOf('proxy', proxy),
      ...tlsOf('admin', admin),
    ])
  })
  afterAll(() => gatehouse.close())

  test.each([
    ['tls_client_auth_subject_dn', 'CN=robot,O=Example'],
    ['tls_client_auth_san_dns', 'ROBOT.example'],
    ['tls_client_auth_san_uri', 'spiffe://example/robot'],
    ['tls_client_auth_san_ip', '2001:DB8:0::7'],
    ['tls_client_auth_san_email', 'robot@example.com'],
  ])('§2.1: a certificate of the authority authenticates by %s', async (member, name) => {
    const base = { token_endpoint_auth_method: 'tls_client_auth' } as const
    const right = await ask({ ...base, [member]: name }, made.robot)
    expect(right.status).toBe(200)
    expect(await ask({ ...base, [member]: `x${name}` }, made.robot)).toMatchObject(refused)
    expect(await ask({ ...base, [member]: name }, made.stranger)).toMatchObject(refused)
  })

  test('§2.1: so does one of a sub-authority that is sent along', async () => {
    expect((await ask(byCertificate(), made.viaSub, [made.sub])).status).toBe(200)
    expect(await ask(byCertificate(), made.viaSub)).toMatchObject(refused)
  })

  test.each(['impostor', 'own', 'serverOnly'] as const)(
    '§2.1: the certificate %s with the right subject is refused',
    async (name) => {
      expect(await ask(byCertificate(), made[name])).toMatchObject(refused)
    },
  )

  test('§2: a session without a certificate authenticates nobody', async () => {
    expect(await ask(byCertificate())).toMatchObject(refused)
    expect(await ask(selfSigned(made.own))).toMatchObject(refused)
  })

  test('§2.2: a registered certificate authenticates, another for the same name does not', async () => {
    expect((await ask(selfSigned(made.own), made.own)).status).toBe(200)
    for (const other of [made.robot, made.impostor]) {
      expect(await ask(selfSigned(made.own), other)).toMatchObject(refused)
    }
  })

  test('RFC 9440 §3: a header says nothing, as nobody here is a terminator', async () => {
    const headers = { 'client-cert': toByteSequence(made.robot) }
    const { url } = gatehouse.config.issuer
    const clientId = await idOf(byCertificate())
    const nobody = { clientId, agent: agentOf(), headers }
    expect(await requestToken(url, nobody)).toMatchObject(refused)
    const stranger = { clientId, agent: agentOf(made.stranger), headers }
    expect(await requestToken(url, stranger)).toMatchObject(refused)
  })

  test('a client authenticates by its registered method alone', async () => {
    const { url } = gatehouse.config.issuer
    const withSecret = await gatehouse.createClient()
    expect(
      await requestToken(url, { clientId: withSecret.clientId, agent: agentOf(made.robot) }),
    ).toMatchObject(refused)
    const clientId = await idOf(byCertificate())
    const basic = `Basic ${Buffer.from(`${clientId}:secret`).toString('base64')}`
    expect(
      await requestToken(url, {
        clientId,
        agent: agentOf(made.robot),
        headers: { authorization: basic },
      }),
    ).toMatchObject(refused)
  })

  test('§3: a bound token opens the proxy in a session with its certificate alone', async () => {
    const bound = byCertificate({ tls_client_certificate_bound_access_tokens: true })
    const { body } = await ask(bound, made.robot)
    const token = String(body['access_token'])
    expect(body['token_type']).toBe('Bearer')
    expect(inspectToken(token).payload).toMatchObject({
      cnf: { 'x5t#S256': thumbprintOf(made.robot) },
    })
    const call = async (agent: Agent, headers: Record<string, string> = {}) => {
      const response = await fetchOver(`${gatehouse.config.proxy.url}/v1/models`, {
        dispatcher: agent,
        headers: { authorization: `Bearer ${token}`, ...headers },
      })
      await response.body?.cancel()
      return [response.status, response.headers.get('www-authenticate')?.includes('invalid_token')]
    }
    const robot = agentOf(made.robot)
    expect(await call(robot)).toEqual([200, undefined])
    // Once more, by the connection and the token that are known.
    expect(await call(robot)).toEqual([200, undefined])
    expect(await call(agentOf(made.robot))).toEqual([200, undefined])
    expect(await call(agentOf(made.stranger))).toEqual([401, true])
    expect(await call(agentOf())).toEqual([401, true])
    expect(await call(agentOf(), { 'client-cert': toByteSequence(made.robot) })).toEqual([
      401,
      true,
    ])
  })

  test('§3: so does a bound token of the admin API there', async () => {
    const { issuer, admin } = gatehouse.config
    const operator = byCertificate({
      scope: 'admin:read',
      tls_client_certificate_bound_access_tokens: true,
    })
    const { body } = await requestToken(issuer.url, {
      clientId: await idOf(operator),
      agent: agentOf(made.robot),
      resource: `${issuer.url}/admin`,
    })
    const call = async (agent: Agent) => {
      const response = await fetchOver(`https://${admin.listen}/admin/v1/tenants`, {
        dispatcher: agent,
        headers: { authorization: `Bearer ${String(body['access_token'])}` },
      })
      await response.body?.cancel()
      return response.status
    }
    expect(await call(agentOf(made.robot))).toBe(200)
    expect(await call(agentOf(made.stranger))).toBe(401)
    expect(await call(agentOf())).toBe(401)
  })

  test('§3: a resumed session keeps its certificate', async () => {
    const { port } = new URL(gatehouse.config.issuer.url)
    const clientId = await idOf(byCertificate())
    const body = `grant_type=client_credentials&client_id=${clientId}`
    const message = [
      'POST /token HTTP/1.1',
      'Host: localhost',
      'Connection: close',
      'Content-Type: application/x-www-form-urlencoded',
      `Content-Length: ${body.length}`,
      '',
      body,
    ].join('\r\n')
    const { cert, key } = made.robot
    const exchange = async (identity: object, session?: Buffer) => {
      const to = { port: Number(port), host: '127.0.0.1', servername: 'localhost' }
      const socket = connectTls({ ...to, ca: made.server.cert, session, ...identity })
      let isResumed: boolean | undefined
      let ticket: Buffer | undefined
      socket.on('secureConnect', () => {
        isResumed = socket.isSessionReused()
      })
      socket.on('session', (next) => {
        ticket = next
      })
      socket.write(message)
      const answer = await text(socket)
      return { status: statusOf(answer), isResumed, ticket }
    }
    const first = await exchange({ cert, key })
    expect(first).toMatchObject({ status: 200, isResumed: false })
    const second = await exchange({ cert, key }, first.ticket)
    expect(second).toMatchObject({ status: 200, isResumed: true })
    const anonymous = await exchange({})
    expect(await exchange({ cert, key }, anonymous.ticket)).toMatchObject({ status: 401 })
  })

  test('§3: a client that wants bound tokens gets none without a certificate, however it authenticates', async () => {
    const client = await gatehouse.createClient({
      tls_client_certificate_bound_access_tokens: true,
    })
    const basic = `${client.clientId}:${client.clientSecret}`
    const ofClient = (agent: Agent) => ({
      clientId: client.clientId,
      agent,
      headers: { authorization: `Basic ${Buffer.from(basic).toString('base64')}` },
    })
    const { url } = gatehouse.config.issuer
    const without = await requestToken(url, ofClient(agentOf()))
    expect(without.status).toBe(400)
    expect(without.body).not.toHaveProperty('access_token')
    const { body } = await requestToken(url, ofClient(agentOf(made.own)))
    expect(inspectToken(String(body['access_token'])).payload).toMatchObject({
      cnf: { 'x5t#S256': thumbprintOf(made.own) },
    })
  })
})

describe.skipIf(!hasOpenssl)('RFC 9440 behind a trusted terminator', () => {
  let trusting: Gatehouse
  let distrusting: Gatehouse
  beforeAll(async () => {
    const ca = [`issuer.tls.clientCa=${made.ca.certFile}`]
    trusting = await startGatehouse(model.url, [...ca, 'trustedProxies=127.0.0.1,::1'])
    distrusting = await startGatehouse(model.url, [...ca, 'trustedProxies=10.1.2.3'])
  })
  afterAll(() => Promise.all([trusting.close(), distrusting.close()]))

  const ask = async (
    request: NewClientRequest,
    headers: Record<string, string>,
    gatehouse = trusting,
  ) => {
    const { clientId } = await gatehouse.createClient(request)
    return requestToken(gatehouse.config.issuer.url, { clientId, agent: new Agent(), headers })
  }
  const saying = (certified: Certified, chain: readonly Certified[] = []) => ({
    'client-cert': toByteSequence(certified),
    ...(chain.length === 0 ? {} : { 'client-cert-chain': chain.map(toByteSequence).join(', ') }),
  })

  test('§2: its Client-Cert authenticates, and those of its chain lead to the authority', async () => {
    expect((await ask(byCertificate(), saying(made.robot))).status).toBe(200)
    expect((await ask(byCertificate(), saying(made.viaSub, [made.sub]))).status).toBe(200)
    expect((await ask(selfSigned(made.own), saying(made.own))).status).toBe(200)
  })

  test('a certificate that leads elsewhere is refused, as the terminator may let any through', async () => {
    for (const [leaf, ...chain] of [
      [made.impostor],
      [made.impostor, made.otherCa],
      [made.own, made.own],
      [made.viaSub],
      [made.serverOnly],
      [made.stranger],
    ] as const) {
      expect(await ask(byCertificate(), saying(leaf, chain))).toMatchObject(refused)
    }
    expect(await ask(selfSigned(made.own), saying(made.robot))).toMatchObject(refused)
  })

  test('what an authority has vouched for is nothing any more once its file has another one', async () => {
    const file = join(newFolder(), 'clients-ca.pem')
    await writeFile(file, made.ca.cert)
    const gatehouse = await startGatehouse(model.url, [
      `issuer.tls.clientCa=${file}`,
      'trustedProxies=127.0.0.1,::1',
    ])
    onTestFinished(() => gatehouse.close())
    const statusFor = async (certified: Certified) =>
      (await ask(byCertificate(), saying(certified), gatehouse)).status
    expect([await statusFor(made.robot), await statusFor(made.impostor)]).toEqual([200, 401])
    await writeFile(file, made.otherCa.cert)
    await waitUntil('the other authority', async () => (await statusFor(made.impostor)) === 200)
    expect(await statusFor(made.robot)).toBe(401)
  })

  test('§3: from anybody else the header says nothing', async () => {
    expect(await ask(byCertificate(), saying(made.robot), distrusting)).toMatchObject(refused)
    expect(await ask(selfSigned(made.own), saying(made.own), distrusting)).toMatchObject(refused)
  })

  test.each(['Client_Cert', 'CLIENT_CERT', 'X-Client-Cert', 'X-SSL-Client-Cert', 'client-cert_'])(
    'the header %s is none',
    async (name) => {
      const headers = { [name]: toByteSequence(made.robot) }
      expect(await ask(byCertificate(), headers)).toMatchObject(refused)
    },
  )

  test('two of them, or what is no byte sequence with a certificate, are none', async () => {
    const good = toByteSequence(made.robot)
    for (const value of [
      `${good}, ${good}`,
      good.slice(1),
      good.slice(0, -1),
      '::',
      ':AAAA:',
      `:${Buffer.from('-----BEGIN').toString('base64')}:`,
      encodeURIComponent(made.robot.cert),
    ]) {
      expect(await ask(byCertificate(), { 'client-cert': value })).toMatchObject(refused)
    }
    const { clientId } = await trusting.createClient(byCertificate())
    const body = `grant_type=client_credentials&client_id=${clientId}`
    const answer = await exchangeRaw(
      Number(new URL(trusting.config.issuer.url).port),
      [
        'POST /token HTTP/1.1',
        'Host: localhost',
        `Client-Cert: ${toByteSequence(made.stranger)}`,
        `client-cert: ${good}`,
        'Content-Type: application/x-www-form-urlencoded',
        `Content-Length: ${body.length}`,
        '',
        body,
      ].join('\r\n'),
    )
    expect(answer).toContain('invalid_client')
  })

  test('a bound token opens the proxy with the Client-Cert of its certificate, which goes no further', async () => {
    const bound = byCertificate({ tls_client_certificate_bound_access_tokens: true })
    const { body } = await ask(bound, saying(made.robot))
    const call = async (headers: Record<string, string>) => {
      const response = await fetch(`${trusting.config.proxy.url}/v1/models`, {
        headers: { authorization: `Bearer ${String(body['access_token'])}`, ...headers },
      })
      await response.body?.cancel()
      return response.status
    }
    expect(await call(saying(made.robot, [made.ca]))).toBe(200)
    const names = model.received.at(-1)?.rawHeaders.map((name) => name.toLowerCase())
    expect(names?.filter((name) => name.includes('cert'))).toEqual([])
    expect(await call(saying(made.stranger))).toBe(401)
    expect(await call({})).toBe(401)
  })
})
