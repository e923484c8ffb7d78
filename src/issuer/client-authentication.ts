import type Provider from 'oidc-provider'
import type { Client, errors, KoaContextWithOIDC } from 'oidc-provider'
import { AppError } from '../kernel/errors.ts'
import type { Clients } from '../registry/registry.ts'
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

  const find = provider.Client.find.bind(provider.Client)
  provider.Client.find = async (clientId: string) => {
    const client = await find(clientId).catch((error: unknown) =>
      refuse(error, Provider.ctx, errors),
    )
    const credentials = client === undefined ? secretSent(Provider.ctx) : undefined
    if (credentials !== undefined) await verify(clientId, credentials)
    return client
  }
}

/** Whatever came as a secret, in the form in which it came. */
function secretSent(ctx: KoaContextWithOIDC | undefined): string | undefined {
  const inBody = ctx?.oidc.params?.['client_secret']
  return typeof inBody === 'string' ? inBody : ctx?.req.headers.authorization
}

/** A callback of oidc-provider's that reads the store: what the store cannot answer is a refusal there, and no bug. */
export function refusing<Rest extends unknown[], Result>(
  callback: (ctx: KoaContextWithOIDC, ...rest: Rest) => Promise<Result>,
  { errors }: Pick<OidcProvider, 'errors'>,
) {
  return (ctx: KoaContextWithOIDC, ...rest: Rest): Promise<Result> =>
    callback(ctx, ...rest).catch((error: unknown) => refuse(error, ctx, errors))
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
