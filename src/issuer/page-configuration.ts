import type { Configuration } from 'oidc-provider'
import type { Clock } from '../kernel/clock.ts'
import type { Store } from '../store/store.ts'
import { refusing } from './client-authentication.ts'
import { createConsents } from './consents.ts'
import { devicePages } from './device-hooks.ts'
import { existingGrant } from './existing-grant.ts'
import type { OidcProvider } from './oidc-provider.ts'
import { interactionPath } from './page-routes.ts'
import { renderError } from './render-error.ts'
import { cookieSettings, sessionTtl } from './sessions.ts'
import { signInPolicy } from './sign-in-policy.ts'
import { signOutPages } from './sign-out-hooks.ts'

/** An authorization that was begun is finished within this time. */
const INTERACTION_SECONDS = 3600

export type PageConfigurationOptions = {
  issuer: string
  store: Store
  clock: Clock
}

/** All that oidc-provider has to be told about people and their browsers. */
export function pageConfiguration(
  { issuer, store, clock }: PageConfigurationOptions,
  oidc: OidcProvider,
) {
  return {
    cookies: cookieSettings(issuer.startsWith('https:')),
    interactions: {
      url: (_ctx, { uid }) => interactionPath(uid),
      policy: signInPolicy(store, oidc),
    },
    loadExistingGrant: refusing(existingGrant(createConsents(store)), oidc),
    renderError,
    ttl: { Session: sessionTtl(clock), Interaction: INTERACTION_SECONDS },
    features: {
      deviceFlow: { enabled: true, charset: 'base-20', mask: '****-****', ...devicePages },
      rpInitiatedLogout: { enabled: true, ...signOutPages },
    },
  } satisfies Configuration
}
