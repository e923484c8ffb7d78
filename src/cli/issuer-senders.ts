import type { SenderRequirement } from '../issuer/token-authentication.ts'
import type { Clock } from '../kernel/clock.ts'
import type { InstallationSecrets } from '../keys/installation-secrets.ts'
import type { Store } from '../store/store.ts'
import { createUseOnce } from '../store/use-once.ts'
import { createDpopNonces } from '../tokens/dpop-nonces.ts'
import { createDpopVerifier, usedBefore } from '../tokens/dpop-proof.ts'
import { createSenderCheck } from '../tokens/sender.ts'

type Shared = { store: Store; secrets: InstallationSecrets }

/**
 * How the issuer's own resources find out whether a bound token comes from whom it was issued to: all issuers together,
 * with the nonces that the token endpoint gives, too.
 */
export function issuerSenderCheck(
  { store, secrets }: Shared,
  clockSkewSeconds: number,
  clock: Clock,
): SenderRequirement {
  const nonces = createDpopNonces(() => secrets.dpopNonceKey, clock)
  const check = createSenderCheck(createDpopVerifier({ nonces, clockSkewSeconds, clock }))
  const isUnused = createUseOnce(store, 'used-dpop-proofs')
  return async function requireRightSender(confirmation, presentation) {
    const proof = await check(confirmation, presentation)
    if (proof !== undefined && !(await isUnused(proof))) throw usedBefore()
  }
}
