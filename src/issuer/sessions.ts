import type { Configuration, KoaContextWithOIDC, Session } from 'oidc-provider'
import { epochSeconds, type Clock } from '../kernel/clock.ts'

/** A sign-in ends after that time without use, and that time after the password at the latest. */
const IDLE_SECONDS = 8 * 3600
const SIGNED_IN_SECONDS = 24 * 3600
/** Before somebody has signed in it only holds the secret of a form. */
const ANONYMOUS_SECONDS = 3600

/** How long the session may go on from now, in seconds. */
export function sessionTtl(clock: Clock) {
  return function ttlOfSession(_ctx: KoaContextWithOIDC, { accountId, loginTs }: Session): number {
    if (accountId === undefined || loginTs === undefined) return ANONYMOUS_SECONDS
    const left = loginTs + SIGNED_IN_SECONDS - epochSeconds(clock)
    return Math.max(1, Math.min(IDLE_SECONDS, left))
  }
}

/**
 * Lax, as people come from the client's site. With https no other host of the domain can set them, and nobody on the wire
 * can read them (RFC 6265bis §4.1.3); the two for one interaction have paths of their own, which `__Host-` forbids.
 */
export function cookieSettings(isHttps: boolean): NonNullable<Configuration['cookies']> {
  const options = { httpOnly: true, sameSite: 'lax', secure: isHttps } as const
  const [host, secure] = isHttps ? ['__Host-', '__Secure-'] : ['', '']
  return {
    names: {
      session: `${host}gatehouse_session`,
      interaction: `${secure}gatehouse_interaction`,
      resume: `${secure}gatehouse_resume`,
    },
    long: options,
    short: options,
  }
}
