import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectAdminApi } from '../../src/cli/admin-api.ts'
import { adminKeyPathOf } from '../../src/cli/admin-bootstrap.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { loadClientKey } from '../../src/keys/client-key-file.ts'
import { readAuditTexts, verifyLines } from '../support/audit-lines.ts'
import { startModelServer, type ModelServer } from '../support/model-server.ts'
import { PASSWORD, startPeople, type People } from '../support/people.ts'
import { waitUntil } from '../support/wait-until.ts'

const PROMPT = 'Read the invoice of Ms Ludmilla Quistgaard'
const IMAGE = Buffer.from('an image that nobody else may see').toString('base64')
const RECOGNISED = 'Total due: 48,213.77 Thalers'
const WRONG_SECRET = 'a-wrong-secret-that-somebody-tried'
const WRONG_PASSWORD = 'a wrong password of somebody'

let model: ModelServer
let people: People
/** Whatever nobody may find afterwards, by what it is. */
const secrets = new Map<string, string>([
  ['the prompt', PROMPT],
  ['the image', IMAGE],
  ['the recognised text', RECOGNISED],
  ['the wrong secret', WRONG_SECRET],
  ['the password', PASSWORD],
  ['the wrong password', WRONG_PASSWORD],
])
const answers: string[] = []

beforeAll(async () => {
  model = await startModelServer()
  model.answer((req, res) => {
    req.resume()
    res.setHeader('content-type', 'application/json').end(JSON.stringify({ text: RECOGNISED }))
  })
  people = await startPeople([`proxy.upstreams=${model.url}`])
})
afterAll(async () => {
  await people.close()
  await model.close()
})

/** Errors that somebody was answered are searched, too. */
async function noted(response: Response): Promise<Response> {
  if (!response.ok) answers.push(await response.clone().text())
  return response
}

const callProxy = async (token: string) =>
  noted(
    await fetch(`${people.gatehouse.config.proxy.url}/v1/chat/completions?prompt=${PROMPT}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: PROMPT, image: IMAGE }),
    }),
  )

async function signIn(clientId: string, password: string): Promise<number> {
  const { url, verifier } = people.authorization(clientId)
  secrets.set('a code verifier', verifier)
  const headers = { accept: 'text/html' }
  const redirect = await fetch(url, { headers, redirect: 'manual' })
  const cookie = redirect.headers
    .getSetCookie()
    .map((line) => line.split(';', 1)[0])
    .join('; ')
  secrets.set('a session cookie', /=([^;]{16,})/.exec(cookie)?.[1] ?? '')
  const page = new URL(redirect.headers.get('location') ?? '', people.issuer).href
  const html = await (await fetch(page, { headers: { ...headers, cookie } })).text()
  const form_token = /name="form_token" value="([^"]+)"/.exec(html)?.[1] ?? ''
  secrets.set('a form token', form_token)
  const fields = { form_token, decision: 'sign_in', username: 'mei', password }
  const answer = await fetch(page, {
    method: 'POST',
    redirect: 'manual',
    headers: { ...headers, cookie },
    body: new URLSearchParams(fields),
  })
  return answer.status
}

test('a whole story is on record, and no secret of it is anywhere', async () => {
  const { gatehouse } = people
  const { config } = gatehouse

  const client = await gatehouse.createClient({ client_id: 'robot' })
  secrets.set('the client secret', client.clientSecret)
  const issued = await gatehouse.requestToken(client)
  const { access_token: token } = (await issued.json()) as { access_token: string }
  secrets.set('the access token', token)
  secrets.set('the signature of the access token', token.split('.')[2] ?? '')
  await noted(await gatehouse.requestToken({ ...client, clientSecret: WRONG_SECRET }))

  expect(await (await callProxy(token)).text()).toContain(RECOGNISED)
  await callProxy(`${token.slice(0, -8)}AAAAAAAA`)
  await callProxy(WRONG_SECRET)

  const app = await people.createApp({ client_id: 'app' })
  await people.createUser({ username: 'mei' })
  expect(await signIn(app, WRONG_PASSWORD)).toBe(400)
  expect(await signIn(app, PASSWORD)).toBe(303)

  const key = await loadClientKey(adminKeyPathOf(config))
  if (key === undefined) throw new Error('no admin key')
  secrets.set('the private admin key', key.d)
  const api = await connectAdminApi(`http://${config.admin.listen}`, key)
  const made = (await api.create('clients', { client_id: 'made' })) as { client_secret: string }
  secrets.set('the secret made by the admin API', made.client_secret)
  await expect(api.create('clients', { client_id: 'made' })).rejects.toThrow('in use')
  await api.call({
    method: 'POST',
    path: 'users',
    body: { username: 'li', password: 'another secret password' },
  })
  secrets.set("another user's password", 'another secret password')

  const basic = Buffer.from(`robot:${client.clientSecret}`).toString('base64')
  const revoked = await fetch(`${config.issuer.url}/token/revocation`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams({ token }),
  })
  secrets.set('the basic credentials', basic)
  expect(revoked.status).toBe(200)
  expect((await callProxy(token)).status).toBe(401)

  const readTrail = async () =>
    (await readAuditTexts(join(config.dataDir, 'audit'))).values().toArray()
  const recordsIn = (texts: string[]) =>
    texts.flatMap((text) =>
      text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as AuditRecord),
    )
  await waitUntil('the last call in the trail', async () => {
    const records = recordsIn(await readTrail())
    return records.filter(({ event }) => event === 'proxy.call').length === 4
  })
  const texts = await readTrail()
  const records = recordsIn(texts)

  const { jti } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    jti: string
  }
  // The call leads back to the grant, and on to the revocation.
  const ofToken = records.filter((record) => record.jti === jti)
  expect(ofToken.map(({ event, decision }) => `${event} ${decision}`).sort()).toEqual([
    'proxy.call allow',
    'proxy.call deny',
    'token.issued allow',
    'token.revoked allow',
  ])
  expect(ofToken.find(({ event }) => event === 'proxy.call')).toMatchObject({
    client_id: 'robot',
    status: 200,
    route: '/v1/chat/completions',
    bytes_in: JSON.stringify({ prompt: PROMPT, image: IMAGE }).length,
    bytes_out: JSON.stringify({ text: RECOGNISED }).length,
  })
  const said = records.map(({ event, decision, target }) => `${event} ${decision} ${target ?? ''}`)
  expect(said).toEqual(
    expect.arrayContaining([
      'token.refused deny ',
      'sign_in.refused deny ',
      'sign_in.granted allow ',
      'admin.clients.create allow made',
      expect.stringMatching(/^admin\.users\.create allow user:/),
    ]),
  )
  expect(said.filter((each) => each.startsWith('admin.clients.create deny'))).toHaveLength(1)
  expect(verifyLines(texts.flatMap((text) => text.split('\n').slice(0, -1))).problems).toEqual([])

  const metrics = await Promise.all(
    [config.issuer.opsListen, config.proxy.opsListen].map(async (ops) =>
      (await fetch(`http://${ops}/metrics`)).text(),
    ),
  )
  const places = new Map([
    ['the log', gatehouse.logged.map((line) => JSON.stringify(line)).join('\n')],
    ['the trail', texts.join('\n')],
    ['the metrics', metrics.join('\n')],
    ['the errors', answers.join('\n')],
  ])
  for (const [place, text] of places) expect([place, text.length > 0]).toEqual([place, true])
  const found = [...secrets].flatMap(([what, secret]) => {
    expect([what, secret.length > 7]).toEqual([what, true])
    const forms = [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64')]
    return [...places].flatMap(([place, text]) =>
      forms.some((form) => text.includes(form)) ? [`${what} in ${place}`] : [],
    )
  })
  expect(found).toEqual([])
})
