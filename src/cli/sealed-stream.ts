import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  randomBytes,
  scrypt,
  timingSafeEqual,
} from 'node:crypto'
import { CliError } from './cli-error.ts'

/**
 * A stream under a passphrase: a header line, its HMAC, then chunks of AES-256-GCM. Each is bound to the header, to its
 * place and to whether it is the last, so that nothing can be cut off, put elsewhere or come from another file (the STREAM
 * construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015). The keys come from scrypt (RFC 7914) and a fresh salt, so
 * no nonce is used twice under a key.
 */
const FORMAT = 'gatehouse-backup'
const VERSION = 1
const CHUNK_BYTES = 65_536
const TAG_BYTES = 16
const MAC_BYTES = 32
const SALT_BYTES = 16
const HEADER = /^gatehouse-backup (\d{1,6})(?: ([A-Za-z0-9_-]{22}))?\n/
const LONGEST_HEADER = 64
/** 128 MiB and some tenths of a second for each guess. */
const SCRYPT = { N: 131_072, r: 8, p: 1, maxmem: 256 * 1024 * 1024 }

type Keys = { header: Buffer; headerMac: Buffer; cipherKey: Buffer }

/** Seals what comes, whatever the sizes of its parts, in constant memory. */
export async function* seal(
  content: AsyncIterable<Uint8Array>,
  passphrase: string,
): AsyncGenerator<Buffer> {
  const salt = randomBytes(SALT_BYTES).toString('base64url')
  const keys = await deriveKeys(Buffer.from(`${FORMAT} ${VERSION} ${salt}\n`), passphrase, salt)
  yield Buffer.concat([keys.header, keys.headerMac])
  let position = 0
  for await (const { chunk, isLast } of chunksOf(content, CHUNK_BYTES)) {
    const cipher = createCipheriv('aes-256-gcm', keys.cipherKey, nonceOf(position, isLast))
    cipher.setAAD(keys.header)
    yield Buffer.concat([cipher.update(chunk), cipher.final(), cipher.getAuthTag()])
    position += 1
  }
}

export type Opened = {
  /** Another one for every seal. */
  id: string
  /** Ends only when everything was there. */
  content: AsyncIterable<Buffer>
}

/**
 * Opens what was sealed. A CliError when it is something else, of a newer version, under another passphrase, damaged or
 * cut off: the last two while the content is read, of which nothing is given that was not verified.
 */
export async function unseal(
  sealed: AsyncIterable<Uint8Array>,
  passphrase: string,
): Promise<Opened> {
  const parts = sealed[Symbol.asyncIterator]()
  const begun = await readAtLeast(parts, LONGEST_HEADER + MAC_BYTES)
  const { length, salt } = parseHeader(begun)
  const keys = await deriveKeys(begun.subarray(0, length), passphrase, salt)
  const mac = begun.subarray(length, length + MAC_BYTES)
  if (mac.length !== MAC_BYTES) throw damaged()
  if (!timingSafeEqual(mac, keys.headerMac)) {
    throw new CliError('the passphrase is wrong', {
      hint: 'or the beginning of the file is damaged',
    })
  }
  const rest = followedBy(begun.subarray(length + MAC_BYTES), parts)
  return { id: salt, content: openChunks(rest, keys) }
}

async function* openChunks(sealed: AsyncIterable<Uint8Array>, keys: Keys): AsyncGenerator<Buffer> {
  let position = 0
  for await (const { chunk, isLast } of chunksOf(sealed, CHUNK_BYTES + TAG_BYTES)) {
    if (chunk.length < TAG_BYTES) throw damaged()
    const cipher = createDecipheriv('aes-256-gcm', keys.cipherKey, nonceOf(position, isLast))
    cipher.setAAD(keys.header)
    cipher.setAuthTag(chunk.subarray(-TAG_BYTES))
    const opened = cipher.update(chunk.subarray(0, -TAG_BYTES))
    try {
      cipher.final()
    } catch {
      throw damaged()
    }
    yield opened
    position += 1
  }
}

function parseHeader(begun: Buffer): { length: number; salt: string } {
  const [line = '', version, salt] = HEADER.exec(begun.toString('latin1')) ?? []
  if (version === undefined) throw new CliError('this is not a backup of Gatehouse')
  if (Number(version) > VERSION) {
    throw new CliError(`the backup has version ${version}, newer than this Gatehouse knows`, {
      hint: 'restore it with the Gatehouse that made it, or a newer one',
    })
  }
  if (Number(version) !== VERSION || salt === undefined) throw damaged()
  return { length: line.length, salt }
}

function deriveKeys(header: Buffer, passphrase: string, salt: string): Promise<Keys> {
  // RFC 8265 §4.2: the same passphrase, however a keyboard composes it.
  const secret = passphrase.normalize('NFC')
  return new Promise((resolve, reject) => {
    scrypt(secret, Buffer.from(salt, 'base64url'), 64, SCRYPT, (error, key) => {
      if (error !== null) return reject(error)
      const headerMac = createHmac('sha256', key.subarray(0, 32)).update(header).digest()
      resolve({ header, headerMac, cipherKey: key.subarray(32) })
    })
  })
}

/** 11 bytes that count, and one that marks the last chunk. */
function nonceOf(position: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUIntBE(position, 5, 6)
  nonce[11] = isLast ? 1 : 0
  return nonce
}

/** The same bytes in chunks of that size; the last one may be shorter, and is there even if it is empty. */
async function* chunksOf(
  content: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<{ chunk: Buffer; isLast: boolean }> {
  let held: Buffer = Buffer.alloc(0)
  for await (const part of content) {
    held = Buffer.concat([held, part])
    while (held.length > size) {
      yield { chunk: held.subarray(0, size), isLast: false }
      held = held.subarray(size)
    }
  }
  yield { chunk: held, isLast: true }
}

async function readAtLeast(parts: AsyncIterator<Uint8Array>, bytes: number): Promise<Buffer> {
  let read: Buffer = Buffer.alloc(0)
  while (read.length < bytes) {
    const { value, done } = await parts.next()
    if (done === true) break
    read = Buffer.concat([read, value])
  }
  return read
}

async function* followedBy(
  first: Buffer,
  parts: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield first
  yield* { [Symbol.asyncIterator]: () => parts }
}

/** What a file says that is not, or not all, as it was written. */
export function damaged(): CliError {
  return new CliError('the backup is damaged or cut off', { hint: 'take another copy of it' })
}
