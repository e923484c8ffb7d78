import type { Config } from '../config/schema.ts'
import type { OwnRoute } from '../issuer/own-route.ts'
import { createOwnTokens, type OwnTokens } from '../issuer/own-tokens.ts'
import { reportRoutes } from '../issuer/reports.ts'
import { createRevocationFeed } from '../issuer/revocation-feed.ts'
import { createTokenAuthenticator } from '../issuer/token-authentication.ts'
import { createUserinfoRoute } from '../issuer/userinfo.ts'
import type { InstallationSecrets } from '../keys/installation-secrets.ts'
import { createRingKeys } from '../keys/ring-keys.ts'
import type { RingSource } from '../keys/ring-source.ts'
import type { Registry } from '../registry/registry.ts'
import type { LiveRevocations } from '../revocations/live-revocations.ts'
import { createRevocationGuard } from '../revocations/revocation-guard.ts'
import type { Store } from '../store/store.ts'
import { createTokenVerifier } from '../tokens/verify.ts'
import type { Surroundings } from './running.ts'
import { issuerSenderCheck } from './issuer-senders.ts'
import { blockListOf } from './listener.ts'

/** For tokens that are used at the issuer itself. */
const CLOCK_SKEW_SECONDS = 30

export type OwnEndpoints = {
  routes: readonly OwnRoute[]
  ownTokens: OwnTokens
  /** Ends what is streaming, so that a shutdown need not wait for it. */
  close: () => void
}

export type OwnEndpointsParts = {
  ring: RingSource
  revocations: LiveRevocations
  registry: Registry
  store: Store
  secrets: InstallationSecrets
  /** The identifiers of all resources: what a token of ours can be for. */
  audiences: readonly string[]
}

/** Where the issuer looks at its own tokens: revocation, introspection, userinfo and the revocation feed. */
export function createOwnEndpoints(
  config: Config,
  { ring, revocations, registry, store, secrets, audiences }: OwnEndpointsParts,
  { log, clock }: Surroundings,
): OwnEndpoints {
  const { url: issuer } = config.issuer
  const guard = createRevocationGuard(revocations, { ...config.revocations, log })
  const verifierFor = (accepted: readonly string[]) =>
    createTokenVerifier(
      createRingKeys(ring.current),
      {
        issuer,
        audiences: accepted,
        clockSkewSeconds: CLOCK_SKEW_SECONDS,
        senderConstrained: 'checked_by_caller',
      },
      clock,
    )
  const requireRightSender = issuerSenderCheck({ store, secrets }, CLOCK_SKEW_SECONDS, clock)
  const authenticatorFor = (accepted: readonly string[]) =>
    createTokenAuthenticator({
      issuer,
      verify: verifierFor(accepted),
      requireRightSender,
      ...guard,
      trustedProxies: blockListOf(config.trustedProxies),
    })
  const feed = createRevocationFeed({
    live: revocations,
    authenticate: authenticatorFor([issuer]),
    clock,
    log,
  })
  const reports = reportRoutes({ store, authenticate: authenticatorFor([issuer]), clock })
  const userinfo = createUserinfoRoute({
    authenticate: authenticatorFor(audiences),
    users: registry.users,
  })
  return {
    routes: [feed.route, ...reports, userinfo],
    ownTokens: createOwnTokens(verifierFor(audiences), guard),
    close: feed.close,
  }
}
