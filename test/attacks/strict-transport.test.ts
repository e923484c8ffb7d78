import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Agent, fetch as fetchOver } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePorts } from '../../src/cli/free-ports.ts'
import { FOR_LOCALHOST, hasOpenssl, makeCertificate } from '../support/certificates.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'

const STRICT = 'max-age=31536000'

/** A model server that has an opinion on the transport of its own. */
async function startOpinionated(): Promise<ModelServer> {
  const model = await startModelServer()
  model.answer((req, res) => {
    req.resume()
    res.setHeader('strict-transport-security', 'max-age=0; includeSubDomains')
    res.setHeader('trailer', 'strict-transport-security')
    res.write('{}')
    res.addTrailers({ 'strict-transport-security': 'max-age=0' })
    res.end()
  })
  return model
}

const REQUESTS = [
  ['issuer', 'GET', '/jwks', 200],
  ['issuer', 'GET', '/.well-known/openid-configuration', 200],
  ['issuer', 'GET', '/nothing', 404],
  ['issuer', 'POST', '/token', 400],
  ['issuer', 'GET', '/auth?client_id=nobody', 400],
  ['issuer', 'GET', '/device', 200],
  ['issuer', 'GET', '/me', 401],
  ['admin', 'GET', '/admin/v1/openapi.json', 200],
  ['admin', 'GET', '/admin/v1/tenants', 401],
  ['proxy', 'GET', '/.well-known/oauth-protected-resource', 200],
  ['proxy', 'GET', '/health', 200],
  ['proxy', 'GET', '/v1/models', 401],
  ['proxy', 'GET', '/nothing', 404],
  ['proxy', 'DELETE', '/v1/models', 405],
] as const

describe('RFC 6797 §7: Strict-Transport-Security', () => {
  let model: ModelServer
  let plain: Gatehouse
  beforeAll(async () => {
    model = await startOpinionated()
    plain = await startGatehouse(model.url, ['trustedProxies=127.0.0.1'])
  })
  afterAll(async () => {
    await plain.close()
    await model.close()
  })
  const originOf = ({ config }: Gatehouse, role: 'issuer' | 'admin' | 'proxy', scheme: string) =>
    `${scheme}://${config[role].listen}`
  const strictIn = async (url: string, method: string, headers = {}) => {
    const response = await fetchOver(url, { method, dispatcher, headers })
    await response.body?.cancel()
    if (response.headers.get('content-type')?.startsWith('application/problem') === true) {
      expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    }
    return [response.status, response.headers.get('strict-transport-security')]
  }
  let dispatcher = new Agent()

  describe.skipIf(!hasOpenssl)('where we speak TLS', () => {
    let secure: Gatehouse
    beforeAll(async () => {
      const server = await makeCertificate({ subject: '/CN=localhost', extensions: FOR_LOCALHOST })
      setDefaultCACertificates([...getCACertificates(), server.cert])
      dispatcher = new Agent()
      const [issuer, proxy, admin] = await freePorts(3)
      const tlsOf = (role: string, port = 0) => [
        `${role}.listen=127.0.0.1:${port}`,
        `${role}.tls.cert=${server.certFile}`,
        `${role}.tls.key=${server.keyFile}`,
      ]
      secure = await startGatehouse(model.url, [
        `issuer.url=https://localhost:${issuer}`,
        `proxy.url=https://localhost:${proxy}`,
        ...tlsOf('issuer', issuer),
        ...tlsOf('proxy', proxy),
        ...tlsOf('admin', admin),
      ])
    })
    afterAll(() => secure.close())

    test.each(REQUESTS)('%s: %s %s (%i) has it', async (role, method, path, status) => {
      const url = `${originOf(secure, role, 'https')}${path}`
      expect(await strictIn(url, method)).toEqual([status, STRICT])
    })

    test('what the model server says of it is not passed on, in headers or trailers', async () => {
      const token = await secure.issueToken()
      const response = await fetchOver(`${secure.config.proxy.url}/v1/models`, {
        dispatcher,
        headers: { authorization: `Bearer ${token}` },
      })
      expect([response.status, response.headers.get('strict-transport-security')]).toEqual([
        200,
        STRICT,
      ])
    })
  })

  test.each(REQUESTS)(
    '%s: %s %s (%i) has it from https behind a terminator, and in the clear never',
    async (role, method, path, status) => {
      const url = `${originOf(plain, role, 'http')}${path}`
      expect(await strictIn(url, method)).toEqual([status, null])
      expect(await strictIn(url, method, { 'x-forwarded-proto': 'https' })).toEqual([
        status,
        STRICT,
      ])
    },
  )
})
