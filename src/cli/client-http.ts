import { z } from 'zod'
import { isLoopbackHost } from '../kernel/listen-address.ts'
import { CliError, EXIT } from './cli-error.ts'

/** A fetch whose failure to connect is said in the command line's words (exit 69). */
export async function request(
  what: string,
  url: string,
  init: RequestInit = {},
): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (cause) {
    const at = `the ${what} at ${new URL(url).origin}`
    if (isDistrust(cause)) {
      throw new CliError(`the certificate of ${at} is not trusted`, {
        hint: 'if it is of your own CA: --set trustedCa=ca.pem, or NODE_EXTRA_CA_CERTS=ca.pem',
        exitCode: EXIT.unreachable,
        cause,
      })
    }
    throw new CliError(`${at} cannot be reached`, {
      hint: 'is Gatehouse running? start it with: npm start',
      exitCode: EXIT.unreachable,
      isPassing: true,
      cause,
    })
  }
}

/** Node's codes for a certificate that does not lead to a trusted one. */
function isDistrust(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code)
}

const metadataSchema = z.object({
  token_endpoint: z.url(),
  device_authorization_endpoint: z.url().optional(),
  revocation_endpoint: z.url().optional(),
})
const grantedSchema = z.object({
  access_token: z.string(),
  token_type: z.string(),
  expires_in: z.number(),
  scope: z.string().optional(),
  refresh_token: z.string().optional(),
})
const refusedSchema = z.object({ error: z.string(), error_description: z.string().optional() })

export type TokenResponse = z.infer<typeof grantedSchema>
export type TokenRefusal = z.infer<typeof refusedSchema>

export type TokenRequest = {
  issuer: string
  clientId: string
  clientSecret: string
  scope?: string | undefined
  resource?: string | undefined
}

/** Gets an access token by client credentials (RFC 6749 §4.4) from the issuer that the metadata leads to. */
export async function requestToken(options: TokenRequest): Promise<TokenResponse> {
  const { issuer, clientId, clientSecret, scope, resource } = options
  return requestTokenOf(issuer, {
    headers: { authorization: basicCredentials(clientId, clientSecret) },
    parameters: {
      ...(scope === undefined ? {} : { scope }),
      ...(resource === undefined ? {} : { resource }),
    },
  })
}

/** The same for a client that proves in another way who it is: by whatever headers and parameters that takes. */
export async function requestTokenOf(
  issuer: string,
  { headers = {}, parameters }: TokenRequestParts,
): Promise<TokenResponse> {
  const { token_endpoint: endpoint } = await readMetadata(issuer)
  const answer = await sendTokenRequest(endpoint, {
    headers,
    parameters: { grant_type: 'client_credentials', ...parameters },
  })
  if ('error' in answer) throw refusalOf(answer)
  return answer
}
type TokenRequestParts = { headers?: Record<string, string>; parameters: Record<string, string> }

/** Where an issuer takes what (RFC 8414). */
export async function readMetadata(issuer: string): Promise<z.infer<typeof metadataSchema>> {
  const response = await request('issuer', `${issuer}/.well-known/oauth-authorization-server`)
  return parseAnswer('issuer', response, metadataSchema)
}

/** Any token request (RFC 6749 §3.2), granted or refused. */
export async function sendTokenRequest(
  endpoint: string,
  { headers = {}, parameters }: TokenRequestParts,
): Promise<TokenResponse | TokenRefusal> {
  const response = await request('issuer', endpoint, {
    method: 'POST',
    headers,
    body: new URLSearchParams(parameters),
  })
  return parseAnswer('issuer', response, z.union([grantedSchema, refusedSchema]))
}

export function refusalOf({ error, error_description = '' }: TokenRefusal): CliError {
  const message = `the issuer refuses: ${error} ${error_description}`.trim()
  // It says nothing about who asked.
  if (error !== 'temporarily_unavailable') return new CliError(message)
  return new CliError(message, {
    hint: 'try again; /readyz at issuer.opsListen says what is wrong',
  })
}

/** Tokens and secrets go over it (RFC 6750 §5.3). */
export function requirePrivateWay(url: string): void {
  const parsed = URL.parse(url)
  if (parsed?.protocol === 'https:') return
  if (parsed?.protocol === 'http:' && isLoopbackHost(parsed.hostname)) return
  throw new CliError(`${url} is neither https nor on this machine`, { exitCode: EXIT.usage })
}

/** Something else may answer at an address of ours: a login page, another server. */
export async function parseAnswer<T>(
  what: string,
  response: Response,
  schema: z.ZodType<T>,
): Promise<T> {
  try {
    return schema.parse(await response.json())
  } catch (cause) {
    throw new CliError(
      `what answers at ${response.url} is not the ${what} (status ${response.status})`,
      { cause },
    )
  }
}

/** RFC 6749 §2.3.1: both halves are form-encoded before they are joined. */
function basicCredentials(clientId: string, clientSecret: string): string {
  const pair = [clientId, clientSecret].map(encodeURIComponent).join(':')
  return `Basic ${Buffer.from(pair).toString('base64')}`
}

const problemSchema = z.object({ detail: z.string() })

/** What a refusal of the proxy or the model server says, in one line. */
export async function describeRefusal(response: Response): Promise<string> {
  const text = await response.text()
  try {
    return `${response.status} ${problemSchema.parse(JSON.parse(text)).detail}`
  } catch {
    return `${response.status} ${response.statusText}`
  }
}
