import { calculateJwkThumbprint } from 'jose/jwk/thumbprint'
import { exportJWK } from 'jose/key/export'
import { generateKeyPair } from 'jose/key/generate/keypair'
import { z } from 'zod'
import { ConfigError } from '../kernel/errors.ts'
import { createPrivateFile, readPrivateFile } from '../kernel/private-file.ts'

const coordinate = z.string().regex(/^[A-Za-z0-9_-]{43}$/)
const publicMembers = {
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  kid: z.string().min(1),
  alg: z.literal('ES256'),
  x: coordinate,
  y: coordinate,
}
const clientKeySchema = z.object({ ...publicMembers, d: coordinate })
const publicClientKeySchema = z.object(publicMembers)

/** The private JWK with which a client of ours signs its assertions (RFC 7523 §2.2). */
export type ClientKey = z.infer<typeof clientKeySchema>
export type PublicClientKey = z.infer<typeof publicClientKeySchema>

/** What the issuer is told of the key. */
export const publicClientKey = (key: ClientKey): PublicClientKey => publicClientKeySchema.parse(key)

/** The key kept in that file, or undefined without one. A file that is damaged or that others may read is a ConfigError. */
export async function loadClientKey(path: string): Promise<ClientKey | undefined> {
  const text = await readPrivateFile(path)
  return text === undefined ? undefined : parseClientKey(path, text)
}

/** The key in the text of that file. A ConfigError when it is damaged. */
export function parseClientKey(path: string, text: string): ClientKey {
  const parsed = clientKeySchema.safeParse(parseJson(text))
  if (parsed.success) return parsed.data
  throw new ConfigError(
    [`${path} is not an ES256 private JWK with kid and alg`],
    'restore it from a backup, or move it away: the next start of the issuer on an embedded store makes a new one',
  )
}

/** The same; without a file it is made, readable by its owner alone (0600). */
export async function loadOrCreateClientKey(path: string): Promise<ClientKey> {
  const existing = await loadClientKey(path)
  if (existing !== undefined) return existing
  const pair = await generateKeyPair('ES256', { extractable: true })
  const jwk = await exportJWK(pair.privateKey)
  const key = clientKeySchema.parse({
    ...jwk,
    kid: await calculateJwkThumbprint(jwk),
    alg: 'ES256',
  })
  const isOurs = await createPrivateFile(path, JSON.stringify(key, null, 2))
  // Another process may have been first: then its key counts.
  return isOurs ? key : loadOrCreateClientKey(path)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
