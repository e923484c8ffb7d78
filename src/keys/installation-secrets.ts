import { hkdfSync, randomBytes } from 'node:crypto'
import { z } from 'zod'
import { ConfigError } from '../kernel/errors.ts'
import type { KeyDocuments } from './key-documents.ts'

const KEY_BYTES = 32
const masterSchema = z.object({ master: z.string().regex(/^[A-Za-z0-9_-]{43}$/) })

/** What all issuers of an installation have in common beside the signing keys; each is 32 bytes. */
export type InstallationSecrets = {
  /** Signs cookies. */
  cookieKey: Buffer
  /** From which DPoP nonces are made (RFC 9449 §8). */
  dpopNonceKey: Buffer
  /** From which a refresh token's successor is derived. */
  refreshKey: Buffer
  /** Hides what the store keeps of sessions, codes and tokens from whoever can read it. */
  storedTokenKey: Buffer
  /** From which the tokens in forms are made. */
  formKey: Buffer
}

/** The secrets kept as `secrets.json`, made on the first start. A ConfigError when it is damaged or cannot be opened. */
export async function loadOrCreateSecrets(documents: KeyDocuments): Promise<InstallationSecrets> {
  const existing = await documents.read('secrets.json')
  if (existing !== undefined) {
    return deriveSecrets(parseMaster(documents.placeOf('secrets.json'), existing.text))
  }
  const master = randomBytes(KEY_BYTES)
  const text = JSON.stringify({ master: master.toString('base64url') })
  const isOurs = await documents.create('secrets.json', text)
  // Another process may have been first: then its secret counts.
  return isOurs ? deriveSecrets(master) : loadOrCreateSecrets(documents)
}

/** One secret for each purpose, so that none can stand in for another (RFC 5869). */
function deriveSecrets(master: Buffer): InstallationSecrets {
  const derive = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', master, '', `gatehouse ${purpose}`, KEY_BYTES))
  return {
    cookieKey: derive('cookies'),
    dpopNonceKey: derive('dpop nonces'),
    refreshKey: derive('refresh tokens'),
    storedTokenKey: derive('stored tokens'),
    formKey: derive('forms'),
  }
}

/** The secret in that text, which is kept at `path`. A ConfigError when it is damaged. */
export function parseMaster(path: string, text: string): Buffer {
  const parsed = masterSchema.safeParse(parseJson(text))
  if (parsed.success) return Buffer.from(parsed.data.master, 'base64url')
  throw new ConfigError(
    [`${path} is damaged`],
    'restore it from a backup; only if there is none, move it away: everybody then signs in again',
  )
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
