import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import { systemClock } from '../kernel/clock.ts'
import { signClientAssertion } from '../keys/client-assertion.ts'
import type { ClientKey } from '../keys/client-key-file.ts'
import { ADMIN_CLIENT_ID } from './admin-bootstrap.ts'
import { CliError, EXIT, type CliErrorOptions } from './cli-error.ts'
import { parseAnswer, request, requestTokenOf, requirePrivateWay } from './client-http.ts'

export type AdminRequest = {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below `/admin/v1/`. */
  path: string
  query?: Readonly<Record<string, string | undefined>>
  body?: object
  idempotencyKey?: string
}

/** The admin API as the command line uses it. What it refuses is a CliError with its words. */
export type AdminApi = {
  call: (request: AdminRequest) => Promise<unknown>
  /** Makes an object. Tries again when it cannot know whether it is made: it is made once, its secret may then be lost. */
  create: (path: string, body: object) => Promise<unknown>
  /** The items of a list, page after page. */
  pages: (request: AdminRequest) => AsyncGenerator<readonly unknown[]>
}

const PAGE_SIZE = '500'
const CREATE_ATTEMPTS = 3
const CREATE_PAUSE_MS = 1000
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

const resourceSchema = z.object({
  resource: z.url(),
  authorization_servers: z.tuple([z.url()], z.url()),
})
const pageSchema = z.object({ items: z.array(z.unknown()), next_cursor: z.string().optional() })
const problemSchema = z.object({ detail: z.string(), error: z.object({ code: z.string() }) })

/**
 * Signs in at the admin API there: finds the issuer from its RFC 9728 document and gets a token with the operators' key
 * from the normal token endpoint.
 */
export async function connectAdminApi(url: string, key: ClientKey): Promise<AdminApi> {
  requirePrivateWay(url)
  const accessToken = await signIn(url, key)

  const call = async (wanted: AdminRequest) => {
    const { method = 'GET', path, query = {}, body, idempotencyKey } = wanted
    const target = new URL(`${url}/admin/v1/${path}`)
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) target.searchParams.set(name, value)
    }
    const response = await request('admin API', target.href, {
      method,
      headers: {
        authorization: `Bearer ${accessToken}`,
        ...(body && { 'content-type': 'application/json' }),
        ...(idempotencyKey && { 'idempotency-key': idempotencyKey }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    if (!response.ok) throw await refusalOf(response, path)
    return response.status === 204 ? undefined : parseAnswer('admin API', response, z.unknown())
  }

  const create = async (path: string, body: object) => {
    const wanted = { method: 'POST', path, body, idempotencyKey: randomUUID() } as const
    for (let attempt = 1; attempt < CREATE_ATTEMPTS; attempt += 1) {
      try {
        return await call(wanted)
      } catch (error) {
        if (!(error instanceof CliError && error.isPassing)) throw error
        await setTimeout(CREATE_PAUSE_MS)
      }
    }
    return call(wanted)
  }

  return {
    call,
    create,
    async *pages(wanted) {
      let cursor: string | undefined
      do {
        const query = { ...wanted.query, cursor, limit: PAGE_SIZE }
        const page = pageSchema.parse(await call({ ...wanted, query }))
        yield page.items
        cursor = page.next_cursor
      } while (cursor !== undefined)
    },
  }
}

async function signIn(url: string, key: ClientKey): Promise<string> {
  const found = await request('admin API', `${url}/.well-known/oauth-protected-resource`)
  const metadata = await parseAnswer('admin API', found, resourceSchema)
  const [issuer] = metadata.authorization_servers
  requirePrivateWay(issuer)
  const assertion = await signClientAssertion({
    key,
    clientId: ADMIN_CLIENT_ID,
    issuer,
    clock: systemClock,
  })
  const { access_token: accessToken } = await requestTokenOf(issuer, {
    parameters: {
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: assertion,
      resource: metadata.resource,
    },
  }).catch((cause: unknown) => {
    const isAboutUs = cause instanceof CliError && cause.exitCode === EXIT.failed
    if (!isAboutUs || cause.hint !== undefined) throw cause
    throw new CliError(cause.message, {
      hint: "is this the server's own key (--admin-key), and is this machine's clock right?",
      cause,
    })
  })
  return accessToken
}

async function refusalOf(response: Response, path: string): Promise<CliError> {
  const { detail, error } = await parseAnswer('admin API', response, problemSchema)
  // What the server finds wrong with a value is what was typed.
  if (error.code === 'malformed_request') return new CliError(detail, { exitCode: EXIT.usage })
  return new CliError(detail, hintFor(error.code, { response, path }))
}

type Refused = { response: Response; path: string }

function hintFor(code: string, { response, path }: Refused): CliErrorOptions {
  switch (code) {
    case 'internal_error':
      return { hint: `request ${response.headers.get('x-request-id') ?? ''} in the server's log` }
    case 'not_found':
      return { hint: `see: ${path.split('/', 1).join()} list` }
    case 'version_conflict':
      return { hint: 'look at it again, then repeat the command' }
    case 'temporarily_unavailable':
      return { hint: 'try again in a moment', isPassing: true }
    default:
      return {}
  }
}
