import type { Adapter } from 'oidc-provider'
import type { Clock } from '../kernel/clock.ts'
import type { Clients } from '../registry/registry.ts'
import type { Store } from '../store/store.ts'
import { refuse } from './client-authentication.ts'
import { toClientMetadata } from './client-metadata.ts'
import { createDeviceCodeAdapter } from './device-code-adapter.ts'
import type { Grants } from './grants.ts'
import type { HiddenValues } from './hidden-values.ts'
import type { OidcProvider } from './oidc-provider.ts'
import { createOnceAdapter, createSealedAdapter, nothingKept } from './once-adapter.ts'
import { createRefreshTokenAdapter } from './refresh-token-adapter.ts'
import { createSessionAdapter } from './session-adapter.ts'

export type AdapterOptions = {
  clients: Clients
  store: Store
  clock: Clock
  hidden: HiddenValues
  grants: Grants
  /** From which a refresh token's successor is derived. */
  refreshKey: Buffer
  refreshTokenTtlSeconds: number
  oidc: OidcProvider
}

/**
 * What oidc-provider reads and writes. Nothing is kept under the name that it has outside, and none is given back that
 * could not be computed from what the caller brought. JWT access tokens are never stored.
 */
export function createAdapterFactory(options: AdapterOptions): (model: string) => Adapter {
  const { clients, grants, oidc } = options
  const adapters: Readonly<Record<string, Adapter>> = {
    Client: {
      ...nothingKept('Client'),
      async find(id) {
        const issuable = await clients.findIssuable(id)
        return issuable && toClientMetadata(issuable)
      },
    },
    Session: createSessionAdapter(options),
    Interaction: createSealedAdapter('Interaction', options),
    Grant: {
      ...nothingKept('Grant'),
      find: grants.find,
      upsert: (id, payload, ttlSeconds = 0) => grants.save(id, payload, ttlSeconds),
      destroy: grants.revoke,
    },
    AuthorizationCode: createOnceAdapter('AuthorizationCode', options, () => {
      throw new oidc.errors.InvalidGrant('authorization code already consumed')
    }),
    PushedAuthorizationRequest: createOnceAdapter('PushedAuthorizationRequest', options, () => {
      throw new oidc.errors.InvalidRequestUri('the request_uri was used')
    }),
    DeviceCode: createDeviceCodeAdapter(options),
    RefreshToken: createRefreshTokenAdapter(options),
  }
  return (model) => translateErrors(adapters[model] ?? nothingKept(model), oidc)
}

/** A store that cannot answer is no bug: the caller is told to come again, as RFC 6749 §5.2 words it. */
function translateErrors(adapter: Adapter, { Provider, errors }: OidcProvider): Adapter {
  const translated = <Result>(answer: Promise<Result>) =>
    answer.catch((error: unknown) => refuse(error, Provider.ctx, errors))
  return {
    find: (id) => translated(adapter.find(id)),
    findByUid: (uid) => translated(adapter.findByUid(uid)),
    findByUserCode: (userCode) => translated(adapter.findByUserCode(userCode)),
    upsert: (id, payload, ttlSeconds) => translated(adapter.upsert(id, payload, ttlSeconds)),
    consume: (id) => translated(adapter.consume(id)),
    destroy: (id) => translated(adapter.destroy(id)),
    revokeByGrantId: (grantId) => translated(adapter.revokeByGrantId(grantId)),
  }
}
