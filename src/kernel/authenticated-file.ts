import { createHmac, timingSafeEqual } from 'node:crypto'
import { readPrivateFile, writePrivateFile } from './private-file.ts'

/** A JSON document on disk that only who has the key can have written. */
export type AuthenticatedFile = {
  path: string
  /** What was saved; undefined when there is nothing, `damaged` when it is anything else than what was saved. */
  load: () => Promise<{ value: unknown } | 'damaged' | undefined>
  /** Replaces it as a whole (0600). Fails as the disk does. */
  save: (value: unknown) => Promise<void>
}

export type AuthenticatedFileOptions = {
  path: string
  key: Buffer
  /** What it holds and whose it is: a file of another purpose counts as damaged. */
  purpose: readonly string[]
}

/** The first line is an HMAC-SHA-256 over the purpose and all that follows. */
export function openAuthenticatedFile(options: AuthenticatedFileOptions): AuthenticatedFile {
  const { path, key, purpose } = options
  const sealOf = (json: string) =>
    createHmac('sha256', key)
      .update(`${JSON.stringify(purpose)}\n${json}`)
      .digest('base64url')
  return {
    path,
    async load() {
      const text = await readPrivateFile(path)
      if (text === undefined) return undefined
      const end = text.indexOf('\n')
      const json = text.slice(end + 1)
      const seal = Buffer.from(text.slice(0, Math.max(end, 0)))
      const expected = Buffer.from(sealOf(json))
      if (seal.length !== expected.length || !timingSafeEqual(seal, expected)) return 'damaged'
      return { value: JSON.parse(json) }
    },
    async save(value) {
      const json = JSON.stringify(value)
      await writePrivateFile(path, `${sealOf(json)}\n${json}`)
    },
  }
}
