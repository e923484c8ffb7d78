import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { readLockfile } from '../support/lockfile.ts'

const billSchema = z.object({
  bomFormat: z.literal('CycloneDX'),
  specVersion: z.string(),
  components: z.array(
    z.object({
      purl: z.string().startsWith('pkg:npm/'),
      hashes: z.array(z.object({ alg: z.literal('SHA-512'), content: z.string() })).min(1),
      licenses: z.array(z.unknown()).min(1),
      properties: z.array(z.object({ name: z.string(), value: z.string() })),
    }),
  ),
})

const DEVELOPMENT = 'cdx:npm:package:development'

/** `--omit=dev` would lose those that a development package needs as well (npm 11): they are told apart by their mark. */
test('npm run sbom names every package of a production, with its version, hash and licence', async () => {
  const { stdout } = await promisify(execFile)('npm', ['run', '-s', 'sbom'], {
    maxBuffer: 50_000_000,
  })
  const { components } = billSchema.parse(JSON.parse(stdout))
  const named = components
    .filter(({ properties }) => properties.every(({ name }) => name !== DEVELOPMENT))
    .map(({ purl }) => decodeURIComponent(purl.split('?')[0] ?? ''))
  const locked = readLockfile()
    .filter(({ dev }) => dev !== true)
    .map(({ name, version }) => `pkg:npm/${name}@${version}`)
  expect([...new Set(named)].toSorted()).toEqual([...new Set(locked)].toSorted())
})
