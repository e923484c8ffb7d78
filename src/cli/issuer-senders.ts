import type { Clock } from '../kernel/clock.ts'
import type { InstallationSecrets } from '../keys/installation-secrets.ts'
import type { Store } from '../store/store.ts'
import { createUseOnce } from '../store/use-once.ts'
import { createDpopNonces } from '../tokens/dpop-nonces.ts'
import { createDpopVerifier } from '../tokens/dpop-proof.ts'
import { createSenderCheck, type SenderCheck } from '../tokens/sender.ts'

type Shared = { store: Store; secrets: InstallationSecrets }

/**
 * How the issuer's own resources find out whether a bound token comes from whom it was issued to: all issuers together,
 * with the nonces that the token endpoint gives, too.
 */
export function issuerSenderCheck(
  { store, secrets }: Shared,
  clockSkewSeconds: number,
  clock: Clock,
): SenderCheck {
  return createSenderCheck(
    createDpopVerifier({
      isNew: createUseOnce(store, 'used-dpop-proofs'),
      nonces: createDpopNonces(() => secrets.dpopNonceKey, clock),
      clockSkewSeconds,
      clock,
    }),
  )
}
