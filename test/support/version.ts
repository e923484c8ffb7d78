import { readFileSync } from 'node:fs'
import { z } from 'zod'

const PACKAGE = new URL('../../package.json', import.meta.url)

/** The version in package.json: ours, or that of the text of another. */
export function readVersion(text = readFileSync(PACKAGE, 'utf8')): string {
  return z.object({ version: z.string() }).parse(JSON.parse(text)).version
}
