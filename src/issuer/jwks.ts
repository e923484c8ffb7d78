import type { Context, Middleware, Next } from 'koa'
import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { RingSource } from '../keys/ring-source.ts'
import { publicJwks, type Ring } from '../keys/ring.ts'

export type JwksOptions = { ring: RingSource; jwksMaxAgeSeconds: number }

/**
 * Serves the JWK Set (RFC 7517 §5) to whoever verifies our tokens, browsers included, with what a cache needs to keep it
 * well (RFC 9111). It is made once for each state of the ring.
 */
export function serveJwks({ ring, jwksMaxAgeSeconds }: JwksOptions): Middleware {
  const cacheControl = cacheControlOf(jwksMaxAgeSeconds)
  let published = publishedOf(ring.current())
  return async function serveJwkSet(ctx: Context, next: Next) {
    if (ctx.path !== '/jwks') return next()
    if (published.ring !== ring.current()) published = publishedOf(ring.current())
    const { plain, gzipped, etag } = published
    ctx.set({
      etag,
      'cache-control': cacheControl,
      vary: 'Accept-Encoding',
      'access-control-allow-origin': '*',
    })
    // Koa's own check gives in to `Cache-Control: no-cache`, which Node's fetch adds to every conditional request.
    if (hasEtag(ctx.get('if-none-match'), etag)) {
      ctx.status = 304
      return
    }
    ctx.type = 'application/jwk-set+json'
    if (ctx.acceptsEncodings('gzip', 'identity') === 'gzip') {
      ctx.set('content-encoding', 'gzip')
      ctx.body = gzipped
    } else {
      ctx.body = plain
    }
  }
}

/**
 * A cache may serve an old set while it fetches (RFC 5861 §3) or while we fail (§4), but none for longer than two
 * max-ages: by then a key that was published ahead is known everywhere, and one that was stolen forgotten, even if
 * the thief keeps the issuer from answering.
 */
function cacheControlOf(maxAgeSeconds: number): string {
  const whileFetching = Math.floor(maxAgeSeconds / 2)
  return `public, max-age=${maxAgeSeconds}, stale-while-revalidate=${whileFetching}, stale-if-error=${maxAgeSeconds}`
}

function publishedOf(ring: Ring) {
  const plain = Buffer.from(JSON.stringify(publicJwks(ring)))
  // Weak, as it stands for both encodings (RFC 9110 §8.8.1).
  const etag = `W/"${createHash('sha256').update(plain).digest('base64url')}"`
  return { ring, plain, gzipped: gzipSync(plain, { level: 9 }), etag }
}

/** RFC 9110 §13.1.2: any of a list, compared weakly. */
function hasEtag(ifNoneMatch: string, etag: string): boolean {
  const opaque = etag.slice('W/'.length)
  return ifNoneMatch.split(',').some((each) => ['*', etag, opaque].includes(each.trim()))
}
