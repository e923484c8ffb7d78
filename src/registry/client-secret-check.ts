import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { hintOf, isLive, type SecretRecord } from './client-secret.ts'
import type { ClientRecord } from './client.ts'
import type { GuessLimits, Outcome } from './guess-limits.ts'
import type { HashPool } from './hash-pool.ts'
import type { Clients, SecretAttempt } from './registry.ts'
import type { SecretUses } from './secret-uses.ts'
import { createVerifiedSecrets } from './verified-secrets.ts'

export type SecretCheckOptions = {
  clock: Clock
  pool: HashPool
  limits: GuessLimits
  uses: SecretUses
  findIssuable: Clients['findIssuable']
}

/** In the place of a version for a client that gets no token. */
const NO_VERSION = ''

/**
 * Verifies secrets without paying for argon2 each time. A secret that was verified within the last minute costs an
 * HMAC; the same one in several requests at once is hashed once. Anything else is counted before argon2 is touched,
 * and then costs one hash, whether the client is known or not and however many secrets it has.
 */
export function createSecretCheck(
  options: SecretCheckOptions,
): Pick<Clients, 'verifySecret' | 'requireRoomForGuess'> {
  const { clock, pool, limits, uses, findIssuable } = options
  const verified = createVerifiedSecrets(clock)
  const underWay = new Map<string, Promise<boolean>>()

  const isRemembered = (clientId: string, key: string): boolean => {
    const secretId = verified.find(key)
    if (secretId === undefined) return false
    uses.note(clientId, secretId)
    return true
  }

  const secretIn = (client: ClientRecord | undefined, secret: string): SecretRecord | undefined => {
    const hint = hintOf(secret)
    const now = epochSeconds(clock)
    return client?.secrets.find((candidate) => candidate.hint === hint && isLive(candidate, now))
  }

  /** The hash that the secret matched, if any. */
  const matchHash = async (attempt: SecretAttempt): Promise<string | undefined> => {
    const { clientId, secret, address } = attempt
    const end = limits.begin(clientId, address)
    let outcome: Outcome = 'unknown'
    try {
      const candidate = secretIn((await findIssuable(clientId))?.client, secret)
      outcome = (await pool.verify(candidate?.hash, secret)) ? 'right' : 'wrong'
      return outcome === 'right' ? candidate?.hash : undefined
    } finally {
      end(outcome)
    }
  }

  const verifyByHash = async (attempt: SecretAttempt): Promise<boolean> => {
    const { clientId, secret } = attempt
    const hash = await matchHash(attempt)
    if (hash === undefined) return false
    // argon2 may have waited in line for long: what counts is the client as it is now.
    const current = await findIssuable(clientId)
    const known = secretIn(current?.client, secret)
    if (current === undefined || known?.hash !== hash) return false
    const key = verified.keyOf({ clientId, version: current.version, secret })
    verified.remember(key, known.secret_id, known.expires_at)
    uses.note(clientId, known.secret_id)
    return true
  }

  const keyOf = async ({ clientId, version, secret }: SecretAttempt): Promise<string> =>
    verified.keyOf({
      clientId,
      version: version ?? (await findIssuable(clientId))?.version ?? NO_VERSION,
      secret,
    })

  const requireRoomForGuess = async (attempt: SecretAttempt): Promise<void> => {
    try {
      limits.requireRoom(attempt.clientId, attempt.address)
    } catch (refusal) {
      const key = await keyOf(attempt)
      if (verified.find(key) === undefined && !underWay.has(key)) throw refusal
    }
  }

  const verifySecret = async (attempt: SecretAttempt): Promise<boolean> => {
    const { clientId } = attempt
    const key = await keyOf(attempt)
    if (isRemembered(clientId, key)) return true
    const sameOne = underWay.get(key)
    if (sameOne !== undefined) return sameOne
    const verification = verifyByHash(attempt).finally(() => underWay.delete(key))
    underWay.set(key, verification)
    return verification
  }

  return { verifySecret, requireRoomForGuess }
}
