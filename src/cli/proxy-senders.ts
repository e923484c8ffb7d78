import { randomBytes } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import { shareNonceKey } from '../proxy/shared-nonce-key.ts'
import { createUseOnce } from '../store/use-once.ts'
import { createDpopNonces } from '../tokens/dpop-nonces.ts'
import { createDpopVerifier } from '../tokens/dpop-proof.ts'
import { createReplayMemory } from '../tokens/replay-memory.ts'
import { createSenderCheck, type SenderCheck } from '../tokens/sender.ts'
import type { Surroundings } from './running.ts'
import { openStore } from './open-store.ts'

export type ProxySenders = { requireRightSender: SenderCheck; close: () => Promise<void> }

/** How a proxy finds out whether a bound token comes from whom it was issued to: with all others on Redis, else alone. */
export async function openProxySenders(
  config: Config,
  { log, clock }: Surroundings,
): Promise<ProxySenders> {
  const { clockSkewSeconds } = config.proxy
  if (config.redis.url === undefined) {
    const key = randomBytes(32)
    const nonces = createDpopNonces(() => key, clock)
    const isNew = createReplayMemory(clock)
    const verifyProof = createDpopVerifier({ isNew, nonces, clockSkewSeconds, clock })
    return { requireRightSender: createSenderCheck(verifyProof), close: async () => undefined }
  }
  const store = await openStore(config, clock)
  const key = await shareNonceKey(store, log)
  const nonces = createDpopNonces(key.current, clock)
  const isNew = createUseOnce(store, 'used-dpop-proofs')
  const verifyProof = createDpopVerifier({ isNew, nonces, clockSkewSeconds, clock })
  return {
    requireRightSender: createSenderCheck(verifyProof),
    close: async () => {
      key.close()
      await store.close()
    },
  }
}
