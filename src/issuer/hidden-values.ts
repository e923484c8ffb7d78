import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'

const IV_BYTES = 12
const TAG_BYTES = 16

/** How the store keeps what would open something in the hands of whoever reads it. */
export type HiddenValues = {
  /** The id under which it is kept. Keyed, as a user code is short enough to be guessed from a plain hash. */
  idOf: (kind: string, value: string) => string
  /** For what has to be given back as it was: readable with the installation's secrets only. */
  seal: (text: string) => string
  /** Undefined when it was not sealed with the same secrets. */
  unseal: (sealed: string) => string | undefined
}

/** `key` is 32 bytes, of which two are made: one that hashes, one that encrypts. */
export function createHiddenValues(key: Buffer): HiddenValues {
  const keyFor = (purpose: string) => createHmac('sha256', key).update(purpose).digest()
  const [hashKey, sealKey] = [keyFor('ids'), keyFor('contents')]
  return {
    idOf: (kind, value) =>
      createHmac('sha256', hashKey).update(`${kind} ${value}`).digest('base64url'),

    seal(text) {
      const iv = randomBytes(IV_BYTES)
      const cipher = createCipheriv('aes-256-gcm', sealKey, iv)
      const sealed = [cipher.update(text, 'utf8'), cipher.final()]
      return Buffer.concat([iv, cipher.getAuthTag(), ...sealed]).toString('base64url')
    },

    unseal(sealed) {
      const bytes = Buffer.from(sealed, 'base64url')
      const options = { authTagLength: TAG_BYTES }
      try {
        const iv = bytes.subarray(0, IV_BYTES)
        const decipher = createDecipheriv('aes-256-gcm', sealKey, iv, options)
        decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES))
        const text = decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES))
        return Buffer.concat([text, decipher.final()]).toString('utf8')
      } catch {
        return undefined
      }
    },
  }
}
