import { LRUCache } from 'lru-cache'
import { lookup as lookupAddress } from 'node:dns/promises'
import { request as requestPlain, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as requestTls } from 'node:https'
import { isIP } from 'node:net'
import { z } from 'zod'
import type { Clock } from '../kernel/clock.ts'
import { isLoopbackHost } from '../kernel/listen-address.ts'
import type { Log } from '../kernel/log.ts'
import { isPublicAddress } from '../kernel/public-address.ts'
import { publicJwksSchema } from '../registry/client-keys.ts'
import { unavailable } from '../tokens/fetch-json.ts'

const TIMEOUT_MS = 3000
const MAX_BYTES = 65_536
const MAX_URLS = 1000
/** For how long keys are good without asking again; a client that rotates its keys waits no longer. */
const MIN_AGE_SECONDS = 60
const MAX_AGE_SECONDS = 300

export type ClientJwksOptions = {
  /** Whether clients may have their keys on this machine: for development, while the issuer itself is on loopback. */
  allowsLoopback: boolean
  clock: Clock
  log: Log
  /** All addresses of a name. */
  resolve?: (hostname: string) => Promise<readonly string[]>
  /** PEM; instead of the CAs that Node knows. */
  ca?: string
}

type Jwks = { keys: unknown[] }
type Entry = { answer: Promise<Jwks>; freshUntilMs: number }

/**
 * Reads the `jwks_uri` of clients for oidc-provider, in the form of its `fetch`. Whoever registers a client chooses that
 * address, so it is https alone, its name is resolved once and must lead to public addresses only, redirects are not
 * followed, and time and size are bounded. A client whose keys cannot be had has none for a minute: it is refused, and
 * the log says why.
 */
export function createClientJwksFetch(options: ClientJwksOptions) {
  const { clock, log } = options
  const known = new LRUCache<string, Entry>({ max: MAX_URLS })

  async function readOrNone(url: string, entry: Entry): Promise<Jwks> {
    try {
      const { jwks, maxAgeSeconds } = await readJwks(new URL(url), options)
      entry.freshUntilMs = clock() + maxAgeSeconds * 1000
      return jwks
    } catch (error) {
      log.warn(
        { event: 'client.jwks_failed', url: new URL(url).origin, err: error },
        'the keys of a client cannot be fetched',
      )
      return { keys: [] }
    }
  }

  return async function fetchClientJwks(input: string | URL | Request): Promise<Response> {
    const url = input instanceof Request ? input.url : String(input)
    let entry = known.get(url)
    if (entry === undefined || entry.freshUntilMs <= clock()) {
      entry = {
        answer: Promise.resolve({ keys: [] }),
        freshUntilMs: clock() + MIN_AGE_SECONDS * 1000,
      }
      known.set(url, entry)
      entry.answer = readOrNone(url, entry)
    }
    const body = await entry.answer
    const maxAgeSeconds = Math.max(0, Math.floor((entry.freshUntilMs - clock()) / 1000))
    return Response.json(body, { headers: { 'cache-control': `max-age=${maxAgeSeconds}` } })
  }
}

async function readJwks(
  url: URL,
  options: ClientJwksOptions,
): Promise<{ jwks: Jwks; maxAgeSeconds: number }> {
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  const addresses = await Promise.race([safeAddressesOf(url, options), rejectionOf(signal)])
  const response = await get(url, {
    signal,
    // Nothing is resolved a second time, so that the answer cannot differ from the one that was checked.
    lookup: (_hostname, _options, callback) =>
      callback(
        null,
        addresses.map((address) => ({ address, family: isIP(address) })),
      ),
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  })
  try {
    if (response.statusCode !== 200) throw unavailable(`the answer is ${response.statusCode}`)
    const keys = parseKeys(await readText(response))
    return {
      jwks: { keys: keys.filter((key) => publicJwksSchema.safeParse({ keys: [key] }).success) },
      maxAgeSeconds: maxAgeOf(response.headers['cache-control']),
    }
  } finally {
    response.destroy()
  }
}

function parseKeys(text: string): unknown[] {
  try {
    return jwksSchema.parse(JSON.parse(text)).keys
  } catch {
    throw unavailable('the answer is no JWK Set')
  }
}

const jwksSchema = z.object({ keys: z.array(z.unknown()).max(20) })

async function safeAddressesOf(
  { protocol, hostname }: URL,
  { allowsLoopback, resolve = resolveAll }: ClientJwksOptions,
): Promise<readonly string[]> {
  const host = hostname.replace(/^\[|\]$/g, '')
  const isLocal = allowsLoopback && isLoopbackHost(host)
  if (protocol !== 'https:' && !isLocal) throw unavailable('only https is fetched')
  const addresses = isIP(host) === 0 ? await resolve(host) : [host]
  const isSafe = (address: string) =>
    isPublicAddress(address) || (isLocal && isLoopbackHost(address))
  if (addresses.length === 0) throw unavailable('the name has no address')
  if (!addresses.every(isSafe)) throw unavailable('the address is not a public one')
  return addresses
}

function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(unavailable('it took too long')))
  })
}

async function resolveAll(hostname: string): Promise<string[]> {
  const found = await lookupAddress(hostname, { all: true })
  return found.map(({ address }) => address)
}

function get(url: URL, options: RequestOptions & { ca?: string }): Promise<IncomingMessage> {
  const request = url.protocol === 'https:' ? requestTls : requestPlain
  return new Promise((resolve, reject) => {
    request(url, { ...options, agent: false, headers: { accept: 'application/json' } }, resolve)
      .on('error', reject)
      .end()
  })
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw unavailable(`the answer is larger than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function maxAgeOf(cacheControl = ''): number {
  const seconds = Number(/(?:^|,)\s*max-age=(\d{1,9})/.exec(cacheControl)?.[1] ?? MIN_AGE_SECONDS)
  return Math.min(Math.max(seconds, MIN_AGE_SECONDS), MAX_AGE_SECONDS)
}
