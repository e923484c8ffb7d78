import { AppError } from '../kernel/errors.ts'
import { isLoopbackHost } from '../kernel/listen-address.ts'

const TIMEOUT_MS = 5000
const MAX_BYTES = 1_048_576

/**
 * GETs a JSON document (or POSTs a form for one) of at most 1 MiB within 5 s. https, or http on loopback; redirects are
 * not followed. Throws an AppError `temporarily_unavailable` that names the cause, never the content.
 */
export async function fetchJson(
  url: string,
  init: { method?: 'POST'; body?: URLSearchParams } = {},
): Promise<{ body: unknown; headers: Headers }> {
  requirePrivateWay(url)
  const response = await fetch(url, {
    ...init,
    redirect: 'error',
    headers: { accept: 'application/json' },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  if (!response.ok) throw unavailable(`${new URL(url).pathname} answers ${response.status}`)
  return { body: parseJson(await readText(response)), headers: response.headers }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > MAX_BYTES) throw unavailable(`the answer is larger than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw unavailable('the answer is not JSON')
  }
}

/** Nobody on the way may read or change what comes: https, or http on loopback. */
function requirePrivateWay(url: string): void {
  const { protocol, hostname } = new URL(url)
  if (protocol !== 'https:' && !isLoopbackHost(hostname)) throw unavailable('only https is fetched')
}

/** For the log: the caller of a request only learns that keys cannot be had. */
export const unavailable = (why: string): AppError => new AppError('temporarily_unavailable', why)
