import { hkdfSync, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { openAuthenticatedFile, type AuthenticatedFile } from '../kernel/authenticated-file.ts'
import { ConfigError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { createPrivateFile, readPrivateFile } from '../kernel/private-file.ts'
import type { ProxyClient } from './proxy-client.ts'

/** What a proxy needs to go on when it is restarted while the issuer is away. */
export type ProxyCache = { jwks: AuthenticatedFile; revocations: AuthenticatedFile }

const KEY_BYTES = 32

/**
 * The files in `<dataDir>/proxy`, bound to the issuer. Their key comes from that of the proxy's client, which is kept
 * elsewhere; without a client from a file beside them, which protects from damage and mistakes alone. Undefined, with a
 * warning, where nothing can be kept: the proxy serves all the same.
 */
export async function openProxyCache(
  config: Config,
  client: ProxyClient | undefined,
  log: Log,
): Promise<ProxyCache | undefined> {
  const { dataDir, issuer, proxy } = config
  const dir = join(dataDir, 'proxy')
  try {
    const key = client === undefined ? await loadOrCreateKey(dir) : keyOf(client)
    const open = (name: string, ...purpose: string[]) =>
      openAuthenticatedFile({
        path: join(dir, `${name}.json`),
        key,
        purpose: [name, issuer.url, ...purpose],
      })
    return { jwks: open('jwks', proxy.jwksUrl ?? ''), revocations: open('revocations') }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    log.warn(
      { event: 'cache.unavailable', target: dir, err: error },
      'nothing is kept on disk for a restart during an outage',
    )
    return undefined
  }
}

const keyOf = ({ clientId, key }: ProxyClient): Buffer =>
  Buffer.from(
    hkdfSync(
      'sha256',
      Buffer.from(key.d, 'base64url'),
      clientId,
      'gatehouse proxy cache',
      KEY_BYTES,
    ),
  )

async function loadOrCreateKey(dir: string): Promise<Buffer> {
  const path = join(dir, 'cache.key')
  const text = await readPrivateFile(path)
  if (text === undefined) {
    // Another process may be first: then its key counts.
    await createPrivateFile(path, randomBytes(KEY_BYTES).toString('base64url'))
    return loadOrCreateKey(dir)
  }
  const key = Buffer.from(text, 'base64url')
  if (key.length === KEY_BYTES) return key
  throw new ConfigError([`${path} is damaged`], 'move it away: the next start makes a new one')
}
