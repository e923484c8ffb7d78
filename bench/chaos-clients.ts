import { z } from 'zod'
import { systemClock } from '../src/kernel/clock.ts'
import { signClientAssertion } from '../src/keys/client-assertion.ts'
import { loadClientKey } from '../src/keys/client-key-file.ts'
import { codeOf, type Answer, type Asked, type Balancer } from './balancer.ts'
import { ISSUER_URL } from './chaos-world.ts'

export type Client = { id: string; secret: string }
export type Front = { issuers: Balancer; admins: Balancer; proxies: Balancer }

const tokenSchema = z.object({ access_token: z.string(), refresh_token: z.string().optional() })
const clientSchema = z.object({ client_id: z.string(), client_secret: z.string() })
const pageSchema = z.object({
  items: z.array(z.looseObject({ client_id: z.string() })),
  next_cursor: z.string().optional(),
})
const ringSchema = z.object({
  items: z.array(z.looseObject({ kid: z.string(), state: z.string() })),
})
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const PAGE_SIZE = 500

/** Of an answer, or of what came instead: `200`, `503 temporarily_unavailable`, `ECONNREFUSED`. */
export type Outcome = { isGood: boolean; what: string; text: string; member: string }

export async function outcomeOf(answer: Promise<Answer>): Promise<Outcome> {
  try {
    const { status, text, member } = await answer
    const code = /"(?:code|error)":\s*"([a-z_]+)"/.exec(text)?.[1]
    const what = status < 400 || code === undefined ? String(status) : `${status} ${code}`
    return { isGood: status < 300, what, text, member }
  } catch (error) {
    return { isGood: false, what: codeOf(error), text: '', member: '' }
  }
}

export function tokenRequest(client: Client, fields: Readonly<Record<string, string>>): Asked {
  const credentials = Buffer.from(`${client.id}:${client.secret}`).toString('base64')
  return {
    method: 'POST',
    path: '/token',
    headers: { ...FORM, authorization: `Basic ${credentials}` },
    body: new URLSearchParams(fields).toString(),
  }
}

export const activeKidsOf = (text: string): string[] =>
  ringSchema
    .parse(JSON.parse(text))
    .items.flatMap(({ kid, state }) => (state === 'active' ? [kid] : []))

export const readTokens = (text: string) => tokenSchema.parse(JSON.parse(text))

/** The admin API for the length of one token. */
export type Admin = {
  create: (body: object) => Promise<Outcome>
  makeClient: (body: object) => Promise<Client>
  rotate: () => Promise<Outcome>
  clientIds: () => Promise<Set<string>>
  kids: () => Promise<Set<string>>
}

export async function signInAsAdmin({ issuers, admins }: Front, keyFile: string): Promise<Admin> {
  const key = await loadClientKey(keyFile)
  if (key === undefined) throw new Error('there is no admin key')
  const assertion = await signClientAssertion({
    key,
    clientId: 'admin',
    issuer: ISSUER_URL,
    clock: systemClock,
  })
  const signedIn = await issuers.send({
    method: 'POST',
    path: '/token',
    headers: FORM,
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
      resource: `${ISSUER_URL}/admin`,
    }).toString(),
  })
  const authorization = `Bearer ${readTokens(signedIn.text).access_token}`
  const ask = (asked: Asked) =>
    outcomeOf(admins.send({ ...asked, headers: { ...asked.headers, authorization } }))
  const create = (body: object) =>
    ask({
      method: 'POST',
      path: '/admin/v1/clients',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  return {
    create,
    async makeClient(body) {
      const { text } = await create(body)
      const { client_id: id, client_secret: secret } = clientSchema.parse(JSON.parse(text))
      return { id, secret }
    },
    rotate: () => ask({ method: 'POST', path: '/admin/v1/keys/rotate?when=ready' }),
    async kids() {
      const { text } = await ask({ method: 'GET', path: '/admin/v1/keys' })
      return new Set(ringSchema.parse(JSON.parse(text)).items.map(({ kid }) => kid))
    },
    async clientIds() {
      const ids = new Set<string>()
      let cursor: string | undefined = ''
      while (cursor !== undefined) {
        const after: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
        const path = `/admin/v1/clients?limit=${PAGE_SIZE}${after}`
        const { text } = await ask({ method: 'GET', path })
        const page = pageSchema.parse(JSON.parse(text))
        for (const { client_id: id } of page.items) ids.add(id)
        cursor = page.next_cursor
      }
      return ids
    },
  }
}
