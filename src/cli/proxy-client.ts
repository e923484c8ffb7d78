import type { Config } from '../config/schema.ts'
import { REVOCATIONS_SCOPE } from '../issuer/revocation-feed.ts'
import { ConfigError } from '../kernel/errors.ts'
import { signClientAssertion } from '../keys/client-assertion.ts'
import { loadClientKey, type ClientKey } from '../keys/client-key-file.ts'
import { createClientTokenSource, type ClientTokenSource } from '../tokens/client-token.ts'
import type { Surroundings } from './running.ts'

/** Who the proxy is at the issuer. */
export type ProxyClient = { clientId: string; key: ClientKey }

/** The proxy's own client, if one is configured. A ConfigError when its key cannot be used. */
export async function loadProxyClient({ proxy }: Config): Promise<ProxyClient | undefined> {
  const { clientId, clientKeyFile } = proxy
  if (clientId === undefined || clientKeyFile === undefined) return undefined
  const key = await loadClientKey(clientKeyFile)
  if (key !== undefined) return { clientId, key }
  throw new ConfigError(
    [`proxy.clientKeyFile: ${clientKeyFile} is not there`],
    'make it with: npm run -s gatehouse -- clients make-key FILE',
  )
}

/** Its tokens for what the issuer shows to proxies. */
export function proxyTokensOf(
  { clientId, key }: ProxyClient,
  { issuer }: Config,
  { clock }: Pick<Surroundings, 'clock'>,
): ClientTokenSource {
  return createClientTokenSource({
    issuer: issuer.url,
    scope: REVOCATIONS_SCOPE,
    resource: issuer.url,
    signAssertion: () => signClientAssertion({ key, clientId, issuer: issuer.url, clock }),
    clock,
  })
}
