import { randomBytes } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import { shareNonceKey } from '../proxy/shared-nonce-key.ts'
import { createDpopNonces } from '../tokens/dpop-nonces.ts'
import { createDpopVerifier } from '../tokens/dpop-proof.ts'
import { createSenderCheck, type SenderCheck } from '../tokens/sender.ts'
import type { Surroundings } from './running.ts'
import { openStore } from './open-store.ts'

export type ProxySenders = { requireRightSender: SenderCheck; close: () => Promise<void> }

/**
 * How a proxy finds out whether a bound token comes from whom it was issued to. The nonces in proofs are those of all proxies on
 * one Redis, else its own.
 */
export async function openProxySenders(
  config: Config,
  { log, clock }: Surroundings,
): Promise<ProxySenders> {
  const { clockSkewSeconds } = config.proxy
  const key = await openNonceKey(config, { log, clock })
  const nonces = createDpopNonces(key.current, clock)
  const verifyProof = createDpopVerifier({ nonces, clockSkewSeconds, clock })
  return { requireRightSender: createSenderCheck(verifyProof), close: key.close }
}

type NonceKey = { current: () => Buffer; close: () => Promise<void> }

async function openNonceKey(config: Config, { log, clock }: Surroundings): Promise<NonceKey> {
  if (config.redis.url === undefined) {
    const key = randomBytes(32)
    return { current: () => key, close: async () => undefined }
  }
  const store = await openStore(config, clock)
  const key = await shareNonceKey(store, log)
  return {
    current: key.current,
    async close() {
      key.close()
      await store.close()
    },
  }
}
