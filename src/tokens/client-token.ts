import { z } from 'zod'
import type { Clock } from '../kernel/clock.ts'
import { fetchIssuerMetadata } from './issuer-metadata.ts'
import { fetchJson, unavailable } from './fetch-json.ts'

/** An access token of our own, and until when it is good (milliseconds since the epoch). */
export type ClientToken = { value: string; expiresAtMs: number }

export type ClientTokenOptions = {
  issuer: string
  scope: string
  /** The identifier of what it is for (RFC 8707). */
  resource: string
  /** A fresh assertion (RFC 7523 §2.2) for each request. */
  signAssertion: () => Promise<string>
  clock: Clock
}

export type ClientTokenSource = {
  /** One that is good for a while yet, fetched when there is none. AppError `temporarily_unavailable` when it cannot be had. */
  get: () => Promise<ClientToken>
  /** For one that was refused although it has not expired. */
  forget: () => void
}

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
/** Nobody should set out with a token that ends on the way. */
const MARGIN_MS = 30_000

const metadataSchema = z.object({ token_endpoint: z.url() })
const grantedSchema = z.object({
  access_token: z.string().min(1),
  expires_in: z.number().positive(),
})

/** Tokens by client credentials with private_key_jwt, kept until shortly before they end. */
export function createClientTokenSource(options: ClientTokenOptions): ClientTokenSource {
  const { clock } = options
  let token: ClientToken | undefined
  return {
    async get() {
      if (token === undefined || clock() >= token.expiresAtMs - MARGIN_MS) {
        token = await requestToken(options)
      }
      return token
    },
    forget() {
      token = undefined
    },
  }
}

async function requestToken(options: ClientTokenOptions): Promise<ClientToken> {
  const { issuer, scope, resource, signAssertion, clock } = options
  const { token_endpoint: url } = await fetchIssuerMetadata(issuer, metadataSchema)
  const askedAtMs = clock()
  const { body } = await fetchJson(url, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      scope,
      resource,
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: await signAssertion(),
    }),
  })
  const granted = grantedSchema.safeParse(body)
  if (!granted.success) throw unavailable('the answer of the token endpoint has no token')
  const { access_token: value, expires_in: lifetimeSeconds } = granted.data
  return { value, expiresAtMs: askedAtMs + lifetimeSeconds * 1000 }
}
