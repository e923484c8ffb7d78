import { parseCompactJws } from './compact-jws.ts'

export type InspectedToken = {
  header: Readonly<Record<string, unknown>>
  payload: Readonly<Record<string, unknown>>
  /** The times among the claims, in RFC 3339. */
  times: Readonly<Record<string, string>>
}

/** Shows what a token says. Nothing is verified: it needs no key and no server. AuthError when it is no compact JWS. */
export function inspectToken(token: string): InspectedToken {
  const { header, payload } = parseCompactJws(token)
  const times = ['iat', 'nbf', 'exp'].flatMap((claim) => {
    const seconds = payload[claim]
    if (typeof seconds !== 'number' || Math.abs(seconds) > 8_640_000_000_000) return []
    return [[claim, new Date(seconds * 1000).toISOString()]]
  })
  return { header, payload, times: Object.fromEntries(times) }
}
