import * as fc from 'fast-check'
import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startAdminServer, type AdminServer, type Answered } from '../support/admin-server.ts'

let admin: AdminServer
let sub: string
beforeAll(async () => {
  admin = await startAdminServer()
  await admin.send('POST', 'clients', { body: { client_id: 'robot' } })
  const user = { username: 'someone', password: 'long enough' }
  sub = String((await admin.send('POST', 'users', { body: user })).body['sub'])
})
afterAll(() => admin.close())

const LONG = 'x'.repeat(5000)
const SUB = '{sub}'
const ROUTES = [
  ['POST', 'tenants', { tenant_id: 'ok', name: 'ok', limits: { weight: 1 } }],
  ['PATCH', 'tenants/default', { name: 'ok', limits: { weight: 1 } }],
  [
    'POST',
    'clients',
    { client_id: 'ok', tenant_id: 'default', name: 'ok', scope: 'ocr_api_access' },
  ],
  ['PATCH', 'clients/robot', { name: 'ok', scope: 'ocr_api_access', limits: { rpm: 1 } }],
  ['POST', 'clients/robot/secrets', { label: 'ok', expires_at: 2_000_000_000 }],
  ['POST', 'users', { username: 'ok', password: 'long enough', tenant_id: 'default' }],
  ['PATCH', `users/${SUB}`, { name: 'ok', scope: 'ocr_api_access' }],
  ['POST', 'revocations', { kind: 'client', value: 'robot', issued_before: 1_700_000_000 }],
  [
    'POST',
    'tokens/explain',
    { token: 'ok', resource: 'https://ocr.example', scope: 'ocr_api_access' },
  ],
  ['PUT', `users/${SUB}/password`, { password: 'long enough' }],
] as const

function expectProblem({ status, headers, body }: Answered, statuses: readonly number[]): void {
  expect(statuses).toContain(status)
  expect(headers.get('content-type')).toContain('application/problem+json')
  expect(headers.get('x-request-id')).toBeTruthy()
  expect(body).toMatchObject({ status, type: expect.stringMatching(/^urn:gatehouse:error:/) })
}

/** The status of a body that is sent without saying how long it is. */
async function statusOfChunked(method: string, path: string, text: string): Promise<unknown> {
  const headers = {
    authorization: `Bearer ${await admin.sign()}`,
    'content-type': 'application/json',
    'transfer-encoding': 'chunked',
  }
  return new Promise((resolve) => {
    const sent = request(`${admin.url}/admin/v1/${path}`, { method, headers }, (res) => {
      res.resume()
      resolve(res.statusCode)
    })
    // The server closes before it has read all of it.
    sent.on('error', () => undefined).end(text)
  })
}

describe.each(ROUTES)('%s %s', (method, template, good) => {
  const send = (body: unknown, headers?: Record<string, string>) =>
    admin.send(method, template.replace(SUB, sub), { body, ...(headers && { headers }) })

  test.each([
    ['nothing', ''],
    ['half a document', '{"name":'],
    ['no JSON', 'name=x'],
    ['text after it', '{} {}'],
    ['a list', '[]'],
    ['a string', '"x"'],
    ['null', 'null'],
    ['a number beyond all', '1e999'],
    ['an unknown member', JSON.stringify({ ...good, is_admin: true })],
    ['__proto__', '{"__proto__":{"is_admin":true}}'],
    ['120,000 levels', '['.repeat(120_000) + ']'.repeat(120_000)],
  ])('refuses %s', async (_title, text) => {
    expectProblem(await send(text), [400])
  })

  test('refuses every member in every wrong type, or too long', async () => {
    for (const member of Object.keys(good)) {
      for (const wrong of [5.5, -1, true, [], {}, [null], { a: 1 }, LONG, '\u0000', '\uD800']) {
        const answer = await send({ ...good, [member]: wrong })
        // A few of them are right for some members: an empty object of limits, say. None is ever a failure.
        expect([200, 201, 400, 404, 409]).toContain(answer.status)
        if (answer.status >= 300) expectProblem(answer, [400, 404, 409])
      }
    }
  })

  test('refuses a body of 1 MB, whether it says so or not', async () => {
    const text = JSON.stringify({ ...good, name: 'x'.repeat(1_000_000) })
    expectProblem(await send(text), [413])
    expect(await statusOfChunked(method, template.replace(SUB, sub), text)).toBe(413)
  })

  test('refuses 33 levels also where a key makes it repeatable, and takes brackets in a string', async () => {
    const deep = '{"a":'.repeat(33) + '1' + '}'.repeat(33)
    const answer = await send(deep, { 'idempotency-key': 'deep' })
    expectProblem(answer, [400])
    expect(answer.body['detail']).toContain('levels')
    const text = JSON.stringify({ ...good, name: `\\"${'['.repeat(40)}` })
    expect((await send(text)).body['detail'] ?? '').not.toContain('levels')
  })

  test('that breaks off is no failure of ours', async () => {
    const headers = {
      authorization: `Bearer ${await admin.sign()}`,
      'content-type': 'application/json',
      'content-length': '100',
    }
    const path = `${admin.url}/admin/v1/${template.replace(SUB, sub)}`
    const before = admin.lines.length
    const sent = request(path, { method, headers })
    sent.on('error', () => undefined)
    sent.write('{"name":', () => setImmediate(() => sent.destroy()))
    await expect.poll(() => admin.lines.slice(before).join('')).toContain('"reason":"aborted"')
  })

  test('refuses what is not plain JSON by its type', async () => {
    expectProblem(await send('{}', { 'content-type': 'text/plain' }), [415])
    expectProblem(await send('{}', { 'content-encoding': 'gzip' }), [415])
  })

  test('answers whatever JSON comes with success or a problem, never a failure of its own', async () => {
    await fc.assert(
      fc.asyncProperty(fc.json({ maxDepth: 3 }), async (text) => {
        const answer = await send(text)
        if (answer.status >= 300) expectProblem(answer, [400, 404, 409, 413])
      }),
      { numRuns: 25 },
    )
  })
})

describe('a member', () => {
  test.each([
    ['clients', { tenant_id: 'foreign' }, /tenant/],
    ['users', { username: 'a', password: 'long enough', tenant_id: 'foreign' }, /tenant/],
    ['clients', { scope: 'unheard_of' }, /unheard_of is not a scope/],
    ['clients', { grant_types: ['password'] }, /^grant_types\.0: /],
    ['clients', { redirect_uris: ['http://evil.example'] }, /^redirect_uris\.0: /],
    ['clients', { token_endpoint_auth_method: 'private_key_jwt' }, /^jwks: /],
    [
      'clients',
      { jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: 'a', y: 'b', d: 'c' }] } },
      /private/,
    ],
    ['clients', { limits: { rpm: 0 } }, /^limits\.rpm: /],
    ['users', { username: 'a b', password: 'long enough' }, /^username: /],
    ['users', { username: 'a', password: 'short' }, /^password: /],
  ])('of %s: %j is named in the refusal', async (path, body, detail) => {
    const answer = await admin.send('POST', path, { body })
    expectProblem(answer, [400])
    expect(answer.body['detail']).toMatch(detail)
  })

  test('is named without its value, which may be a secret', async () => {
    const body = { username: 'a', password: 'sécret', extra: 'sécret' }
    const answer = await admin.send('POST', 'users', { body })
    expect(JSON.stringify(answer.body) + admin.lines.join('')).not.toContain('sécret')
  })
})

describe('a path or a query', () => {
  test.each([
    ['GET', 'clients/nobody', 404],
    ['GET', 'clients/a%20b', 404],
    ['GET', 'clients/%E0%A4', 404],
    ['GET', 'clients/..%2Fadmin', 404],
    ['GET', `clients/${'x'.repeat(200)}`, 404],
    ['GET', 'users/robot', 404],
    ['GET', 'clients/', 404],
    ['GET', 'nothing', 404],
    ['DELETE', 'clients/robot/secrets/1', 404],
    ['PUT', 'clients', 405],
    ['DELETE', 'status', 405],
    ['GET', 'clients?limit=0', 400],
    ['GET', 'clients?limit=1001', 400],
    ['GET', 'clients?limit=x', 400],
    ['GET', 'clients?limit=1&limit=2', 400],
    ['GET', 'clients?page=2', 400],
    ['GET', `clients?cursor=${'x'.repeat(500)}`, 400],
    ['GET', 'clients?tenant_id=a%20b', 400],
    ['GET', 'users?username=%00', 400],
  ])('%s %s is %i', async (method, path, status) => {
    expectProblem(await admin.send(method, path), [status])
  })

  test.each(['%00', '%FF', '..', '%F0%9F%98%80'])(
    'a made-up cursor %s is harmless',
    async (cursor) => {
      for (const list of ['tenants', 'clients', 'users', 'users?tenant_id=default']) {
        const path = `${list}${list.includes('?') ? '&' : '?'}cursor=${cursor}`
        expect((await admin.send('GET', path)).status).toBe(200)
      }
    },
  )

  test('of a known path says by which methods it answers', async () => {
    const { headers } = await admin.send('PUT', 'clients/robot')
    expect(headers.get('allow')).toBe('GET, PATCH, DELETE, HEAD')
    const head = await fetch(`${admin.url}/admin/v1/clients/robot`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${await admin.sign()}` },
    })
    expect([head.status, await head.text()]).toEqual([200, ''])
  })
})

test('every request leaves one line that says who did what, and none failed', async () => {
  await admin.send('GET', 'clients/robot')
  const last = JSON.parse(admin.lines.at(-1) ?? '{}') as Record<string, unknown>
  expect(last).toMatchObject({
    event: 'admin.clients.show',
    decision: 'allow',
    client_id: 'admin',
    target: 'robot',
    route: '/admin/v1/clients/{client_id}',
    status: 200,
  })
  expect(admin.lines.filter((line) => line.includes('"level":"error"'))).toEqual([])
})
