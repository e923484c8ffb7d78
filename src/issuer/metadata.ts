import type { KoaContextWithOIDC } from 'oidc-provider'

const MAX_AGE_SECONDS = 3600

/** Lets readers keep the metadata (RFC 8414 §2) for an hour. */
export async function keepMetadata(
  ctx: KoaContextWithOIDC,
  next: () => Promise<void>,
): Promise<void> {
  await next()
  if (ctx.oidc?.route === 'discovery')
    ctx.set('cache-control', `public, max-age=${MAX_AGE_SECONDS}`)
}
