import { LRUCache } from 'lru-cache'
import type Provider from 'oidc-provider'
import type { Client, errors, KoaContextWithOIDC } from 'oidc-provider'
import { AppError } from '../kernel/errors.ts'
import type { Clients, IssuableClient } from '../registry/registry.ts'
import type { OidcProvider } from './oidc-provider.ts'

/**
 * Lets the registry verify client secrets, which oidc-provider would compare with one in the clear. For a client that
 * it does not find the same work is done and counted, so that nobody can tell by the time (RFC 6749 §2.3.1, §10.10).
 */
export function authenticateByRegistry(
  provider: Provider,
  { clients, oidc: { Provider, errors } }: { clients: Clients; oidc: OidcProvider },
): void {
  const verify = async (clientId: string, secret: string, version?: string): Promise<boolean> => {
    const ctx = Provider.ctx
    const address = ctx?.ip ?? ''
    return clients
      .verifySecret({ clientId, version, secret, address })
      .catch((error: unknown) => refuse(error, ctx, errors))
  }

  Object.assign(provider.Client.prototype, {
    compareClientSecret(this: Client, secret: string) {
      return verify(this.clientId, secret, String(this['registry_version']))
    },
  })

  const find = rememberBuiltClients(provider.Client.find.bind(provider.Client), clients)
  provider.Client.find = async (clientId: string) => {
    const client = await find(clientId).catch((error: unknown) =>
      refuse(error, Provider.ctx, errors),
    )
    const credentials = client === undefined ? secretSent(Provider.ctx) : undefined
    if (credentials !== undefined) await verify(clientId, credentials)
    return client
  }
}

type FindClient = (clientId: string) => Promise<Client | undefined>

const MAX_BUILT = 10_000

/**
 * Spares the hash of the whole metadata by which oidc-provider recognises a client: the registry gives the very same
 * objects again until one of them has changed.
 */
function rememberBuiltClients(build: FindClient, clients: Clients): FindClient {
  const built = new LRUCache<string, { from: IssuableClient; client: Client }>({ max: MAX_BUILT })
  return async function findClient(clientId) {
    const issuable = await clients.findIssuable(clientId)
    if (issuable === undefined) return undefined
    const known = built.get(clientId)
    const isSame = known?.from.client === issuable.client && known.from.tenant === issuable.tenant
    if (known !== undefined && isSame) return known.client
    const client = await build(clientId)
    // When it was changed in between, what was read before it is never given again.
    if (client !== undefined) built.set(clientId, { from: issuable, client })
    return client
  }
}

/** Whatever came as a secret, in the form in which it came. */
function secretSent(ctx: KoaContextWithOIDC | undefined): string | undefined {
  const inBody = ctx?.oidc.params?.['client_secret']
  return typeof inBody === 'string' ? inBody : ctx?.req.headers.authorization
}

/** Answers as RFC 6749 §5.2 does, with the status and the `Retry-After` of the refusal. */
export function refuse(
  error: unknown,
  ctx: KoaContextWithOIDC | undefined,
  { CustomOIDCProviderError }: typeof errors,
): never {
  if (!(error instanceof AppError)) throw error
  ctx?.set({ ...error.headers })
  const refusal = new CustomOIDCProviderError('temporarily_unavailable', error.message)
  throw Object.assign(refusal, { status: error.status, statusCode: error.status })
}
