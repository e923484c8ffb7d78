import { readFileSync } from 'node:fs'
import { z } from 'zod'

/** The version in package.json. */
export function ownVersion(): string {
  const description: unknown = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  )
  return z.object({ version: z.string() }).parse(description).version
}
