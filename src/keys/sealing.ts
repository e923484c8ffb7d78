import { CompactEncrypt, compactDecrypt, decodeProtectedHeader } from 'jose'
import { createHmac } from 'node:crypto'
import { ConfigError } from '../kernel/errors.ts'

/** What a sealed document is for: one cannot be put in the place of the other. */
export type Purpose = 'key-ring' | 'installation-secrets'

/** With what documents are sealed, and by which setting it was given. */
export type SealingKey = {
  setting: string
  alg: 'dir' | 'PBES2-HS512+A256KW'
  secret: Uint8Array
  /** By which a sealed document says what opens it; a passphrase has none, as one could be guessed from it. */
  kid?: string
}

export type SealingSecrets = {
  /** 32 bytes in base64. */
  encryptionKey?: string | undefined
  passphrase?: string | undefined
  previousEncryptionKey?: string | undefined
  previousPassphrase?: string | undefined
}

/** RFC 7518 §4.8.1.2; as many as OWASP asks for with SHA-512. */
const PASSPHRASE_ITERATIONS = 210_000
const MAX_PASSPHRASE_ITERATIONS = 1_000_000

/** What there is to seal with, the current one first, and to open what was sealed before. */
export function sealingKeysOf(secrets: SealingSecrets): readonly SealingKey[] {
  return [
    ...keyOf('keys.encryptionKey', secrets.encryptionKey),
    ...passphraseOf('keys.passphrase', secrets.passphrase),
    ...keyOf('keys.previousEncryptionKey', secrets.previousEncryptionKey),
    ...passphraseOf('keys.previousPassphrase', secrets.previousPassphrase),
  ]
}

/** The text as a compact JWE (RFC 7516): A256GCM, whose protected header binds what it is for. */
export function seal(text: string, purpose: Purpose, { alg, kid, secret }: SealingKey) {
  const jwe = new CompactEncrypt(Buffer.from(text)).setProtectedHeader({
    alg,
    enc: 'A256GCM',
    ...(kid === undefined ? {} : { kid }),
    purpose,
  })
  if (alg !== 'dir') jwe.setKeyManagementParameters({ p2c: PASSPHRASE_ITERATIONS })
  return jwe.encrypt(secret)
}

export type Unsealed = { text: string; key: SealingKey }

/** The text, and which of the keys opened it. A ConfigError that names `where` when none does, or when it is damaged. */
export async function unseal(
  jwe: string,
  { purpose, where, keys }: { purpose: Purpose; where: string; keys: readonly SealingKey[] },
): Promise<Unsealed> {
  const header = parseHeader(jwe)
  if (header === undefined) throw damaged(where)
  const candidates = keys.filter(
    ({ alg, kid }) => alg === header.alg && (kid === undefined || kid === header.kid),
  )
  if (candidates.length === 0) throw cannotOpen(where, keys)
  for (const key of candidates) {
    const text = await tryKey(jwe, purpose, key)
    if (text !== undefined) return { text, key }
  }
  // A wrong passphrase looks like damage; a key that says to be the right one, and is not, is damage.
  throw header.alg === 'dir' ? damaged(where) : cannotOpen(where, keys)
}

async function tryKey(jwe: string, purpose: Purpose, { alg, secret }: SealingKey) {
  try {
    const opened = await compactDecrypt(jwe, secret, {
      keyManagementAlgorithms: [alg],
      contentEncryptionAlgorithms: ['A256GCM'],
      maxPBES2Count: MAX_PASSPHRASE_ITERATIONS,
    })
    if (opened.protectedHeader['purpose'] !== purpose) return undefined
    return Buffer.from(opened.plaintext).toString('utf8')
  } catch {
    return undefined
  }
}

function parseHeader(jwe: string) {
  try {
    const { alg, kid } = decodeProtectedHeader(jwe)
    return { alg, kid }
  } catch {
    return undefined
  }
}

function keyOf(setting: string, text: string | undefined): SealingKey[] {
  if (text === undefined) return []
  const secret = Buffer.from(text, 'base64')
  const kid = createHmac('sha256', secret).update('gatehouse sealing key id').digest('base64url')
  return [{ setting, alg: 'dir', secret, kid: kid.slice(0, 16) }]
}

function passphraseOf(setting: string, text: string | undefined): SealingKey[] {
  if (text === undefined) return []
  return [{ setting, alg: 'PBES2-HS512+A256KW', secret: Buffer.from(text.normalize('NFC')) }]
}

function cannotOpen(where: string, keys: readonly SealingKey[]): ConfigError {
  const settings = keys.map(({ setting }) => setting).join(' nor ')
  return new ConfigError(
    [
      settings === ''
        ? `${where} is sealed, and keys.encryptionKey is not set`
        : `${where} is sealed with something else than ${settings}`,
    ],
    'set what it was sealed with; after a change, the old one as keys.previousEncryptionKey or keys.previousPassphrase',
  )
}

function damaged(where: string): ConfigError {
  return new ConfigError(
    [`${where} is damaged: its seal is broken`],
    'restore it from a backup; only if there is none, move it away: every token is then void',
  )
}
