import { z } from 'zod'
import { DEVICE_CODE_GRANT } from '../registry/client-metadata.ts'
import { CliError } from './cli-error.ts'
import {
  parseAnswer,
  readMetadata,
  refusalOf,
  request,
  sendTokenRequest,
  type TokenResponse,
} from './client-http.ts'

/** A sign-in that waits for somebody to approve it elsewhere; `verificationUri` is for typing, the other for a camera. */
export type DeviceLogin = {
  clientId: string
  tokenEndpoint: string
  deviceCode: string
  userCode: string
  verificationUri: string
  verificationUriComplete: string
  expiresInSeconds: number
  intervalSeconds: number
}

export type Waiting = {
  pause: (ms: number) => Promise<void>
  clock: () => number
  /** Called before each pause with what is left. */
  onWait: (remainingSeconds: number) => void
}

/** RFC 8628 §3.5: how much longer to wait, for good, each time that the issuer asks for it. */
const SLOW_DOWN_SECONDS = 5
const MAX_INTERVAL_SECONDS = 60

const printable = z.string().regex(/^[\x21-\x7E]+$/)
const authorizationSchema = z.object({
  device_code: z.string(),
  user_code: printable,
  verification_uri: z.url().pipe(printable),
  verification_uri_complete: z.url().pipe(printable).optional(),
  expires_in: z.number().positive(),
  interval: z.number().positive().default(5),
})
const refusedSchema = z.object({ error: z.string(), error_description: z.string().optional() })

/** Asks for the code that somebody enters elsewhere (RFC 8628 §3.1). */
export async function beginDeviceLogin(
  issuer: string,
  { clientId, scope }: { clientId: string; scope: string },
): Promise<DeviceLogin> {
  const metadata = await readMetadata(issuer)
  const { device_authorization_endpoint: endpoint, token_endpoint: tokenEndpoint } = metadata
  if (endpoint === undefined) throw new CliError(`${issuer} signs no devices in`)
  const response = await request('issuer', endpoint, {
    method: 'POST',
    body: new URLSearchParams({ client_id: clientId, scope }),
  })
  const answer = await parseAnswer(
    'issuer',
    response,
    z.union([authorizationSchema, refusedSchema]),
  )
  if ('error' in answer) throw refusalOf(answer)
  return {
    clientId,
    tokenEndpoint,
    deviceCode: answer.device_code,
    userCode: answer.user_code,
    verificationUri: answer.verification_uri,
    verificationUriComplete: answer.verification_uri_complete ?? answer.verification_uri,
    expiresInSeconds: answer.expires_in,
    intervalSeconds: answer.interval,
  }
}

/**
 * Asks for the tokens until somebody has approved (RFC 8628 §3.4), at the pace that the issuer wants and more slowly after
 * each failure to reach it. A CliError when it was refused or nobody came in time.
 */
export async function awaitApproval(
  login: DeviceLogin,
  { pause, clock, onWait }: Waiting,
): Promise<TokenResponse> {
  const endsAtMs = clock() + login.expiresInSeconds * 1000
  let { intervalSeconds } = login
  for (;;) {
    const remainingMs = endsAtMs - clock()
    if (remainingMs <= 0) throw nobodyCame()
    onWait(Math.ceil(remainingMs / 1000))
    await pause(Math.min(intervalSeconds * 1000, remainingMs))
    const outcome = await askOnce(login)
    if (typeof outcome !== 'string') return outcome
    if (outcome === 'slow_down') intervalSeconds += SLOW_DOWN_SECONDS
    if (outcome === 'unreachable') {
      intervalSeconds = Math.min(intervalSeconds * 2, MAX_INTERVAL_SECONDS)
    }
  }
}

type StillWaiting = 'authorization_pending' | 'slow_down' | 'unreachable'

async function askOnce({
  tokenEndpoint,
  clientId,
  deviceCode,
}: DeviceLogin): Promise<TokenResponse | StillWaiting> {
  const parameters = { grant_type: DEVICE_CODE_GRANT, device_code: deviceCode, client_id: clientId }
  try {
    const answer = await sendTokenRequest(tokenEndpoint, { parameters })
    return 'error' in answer ? whatItMeans(answer) : answer
  } catch (error) {
    if (error instanceof CliError && error.isPassing) return 'unreachable'
    throw error
  }
}

function whatItMeans(answer: z.infer<typeof refusedSchema>): StillWaiting {
  switch (answer.error) {
    case 'authorization_pending':
    case 'slow_down':
      return answer.error
    case 'temporarily_unavailable':
      return 'unreachable'
    case 'expired_token':
      throw nobodyCame()
    case 'access_denied':
      throw new CliError('the sign-in was refused')
    default:
      throw refusalOf(answer)
  }
}

const nobodyCame = () =>
  new CliError('nobody approved the sign-in in time', { hint: 'login again, for a new code' })
