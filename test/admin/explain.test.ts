import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ISSUER, PROXY, startAdminServer, type AdminServer } from '../support/admin-server.ts'

let admin: AdminServer
beforeAll(async () => {
  admin = await startAdminServer()
})
afterAll(() => admin.close())

const explain = (body: object) => admin.send('POST', 'tokens/explain', { body })
const check = (name: string, outcome: string) =>
  expect.arrayContaining([expect.objectContaining({ check: name, outcome })])

describe('a token is explained', () => {
  test('for the proxy and its scope, unless another resource is named', async () => {
    const atProxy = await admin.sign({ aud: PROXY, scope: 'ocr_api_access' })
    expect((await explain({ token: atProxy })).body).toMatchObject({ accepted: true })
    const resource = `${ISSUER}/admin`
    expect((await explain({ token: atProxy, resource })).body).toMatchObject({
      accepted: false,
      checks: check('audience', 'refused'),
    })

    const atAdmin = await admin.sign({ scope: 'admin:read' })
    expect((await explain({ token: atAdmin })).body).toMatchObject({
      accepted: false,
      checks: check('audience', 'refused'),
    })
    expect((await explain({ token: atAdmin, resource })).body).toMatchObject({ accepted: true })
    const scope = 'admin:keys'
    expect((await explain({ token: atAdmin, resource, scope })).body).toMatchObject({
      accepted: false,
      checks: check('scope', 'refused'),
    })
  })

  test('for no resource that no token is issued for', async () => {
    const answer = await explain({ token: await admin.sign(), resource: 'https://ocr.exemple' })
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'malformed_request' } } })
    expect(answer.body['detail']).toMatch(/^resource: /)
  })

  test('also while the audit trail cannot be written, as that changes nothing', async () => {
    const lost = await startAdminServer()
    lost.loseTrail()
    const token = await lost.sign()
    expect((await lost.send('POST', 'tenants', { body: { tenant_id: 'acme' } })).status).toBe(503)
    expect((await lost.send('POST', 'tokens/explain', { body: { token } })).status).toBe(200)
    await lost.close()
  })
})
