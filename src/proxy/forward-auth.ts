import type { IncomingMessage } from 'node:http'
import { AppError, AuthError, toAppError } from '../kernel/errors.ts'

/** Where a proxy that is not ours asks whether it should pass a request on. */
export const FORWARD_AUTH_PATH = '/_gatehouse/verify'

export type AskedRequest = { method: string; target: string }

/** How the usual proxies say what they ask about: Traefik and Caddy, then nginx by convention. */
const NAMINGS = [
  ['x-forwarded-method', 'x-forwarded-uri'],
  ['x-original-method', 'x-original-uri'],
] as const

/** Whether a request target is such a question. */
export const isForwardAuth = (target: string): boolean =>
  target === FORWARD_AUTH_PATH ||
  target.startsWith(`${FORWARD_AUTH_PATH}/`) ||
  target.startsWith(`${FORWARD_AUTH_PATH}?`)

/**
 * What is asked about: the path behind ours with the method of the question, as Envoy asks, else what one pair of headers
 * says. AppError `forbidden` when that is not plain: a proxy that sets one pair may pass on the other as its caller wrote it.
 */
export function askedRequest({
  method = '',
  url = '',
  headersDistinct,
}: IncomingMessage): AskedRequest {
  if (url.startsWith(`${FORWARD_AUTH_PATH}/`)) {
    return { method, target: url.slice(FORWARD_AUTH_PATH.length) }
  }
  const pairs = NAMINGS.map((names) => names.map((name) => headersDistinct[name] ?? []))
  const [given = [], ...others] = pairs.filter((values) => values.some((each) => each.length > 0))
  const [[askedMethod, ...moreMethods] = [], [target, ...moreTargets] = []] = given
  const isPlain = others.length + moreMethods.length + moreTargets.length === 0
  if (!isPlain || askedMethod === undefined || target === undefined) {
    throw new AppError('forbidden', 'It is not plain which request is asked about.', {
      reason: 'unclear_forward_auth',
    })
  }
  return { method: askedMethod, target }
}

/** As such proxies understand it: 401 and 403 refuse, and what is no verdict at all stays a 5xx. */
export function toVerdict(error: unknown): AppError {
  const refusal = toAppError(error)
  if (refusal instanceof AuthError || refusal.status >= 500) return refusal
  return new AppError('forbidden', refusal.message, { reason: refusal.reason, cause: refusal })
}
