import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { parseDockerfile } from '../support/dockerfile.ts'
import { hasTool } from '../support/tool.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FILE = join(ROOT, 'deploy/Dockerfile')
const stages = parseDockerfile(readFileSync(FILE, 'utf8'))
const hasHadolint = hasTool(['hadolint', '--version'], 'deploy/Dockerfile IS NOT LINTED')

/** A stage with those that it is made from. */
const wholeOf = (name: string): string[] => {
  const stage = stages.find((each) => each.name === name)
  if (stage === undefined) return []
  const own = stage.instructions.map((each) => `${each.name} ${each.rest}`)
  return [...wholeOf(stage.from), ...own]
}

describe('deploy/Dockerfile', () => {
  test('is made from the Node that is tested, by its version', () => {
    const packages: unknown = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
    expect(packages).toMatchObject({
      packages: { 'node_modules/node': { version: expect.any(String) } },
    })
    const foreign = stages
      .map(({ from }) => from)
      .filter((from) => stages.every(({ name }) => name !== from))
    expect(new Set(foreign)).toEqual(new Set([`node:${process.versions.node}-bookworm-slim`]))
  })

  test.each(['gatehouse', 'bundled-ocr'])(
    '%s runs as nobody, without a shell in between',
    (name) => {
      const lines = wholeOf(name)
      expect(lines.findLast((line) => line.startsWith('USER'))).toBe('USER 10001:10001')
      expect(lines).toContain('ENTRYPOINT ["gatehouse"]')
      expect(lines).toContain('STOPSIGNAL SIGTERM')
      expect(lines.filter((line) => line.startsWith('CMD'))).toHaveLength(1)
      expect(lines.filter((line) => line.startsWith('HEALTHCHECK'))).toHaveLength(1)
      expect(readFileSync(join(ROOT, 'deploy/gatehouse'), 'utf8')).toMatch(/^exec node /m)
    },
  )

  test('the engine is in its own image alone, and nothing for development in either', () => {
    expect(wholeOf('packages').join('\n')).toContain('npm ci --omit=dev --omit=optional')
    expect(wholeOf('gatehouse').join('\n')).not.toContain('packages-with-ocr')
    expect(wholeOf('bundled-ocr').join('\n')).toContain('--from=packages-with-ocr')
  })

  test('starts Node with the flags of `npm run gatehouse`', () => {
    const flagsOf = (text: string) =>
      (/exec node ([^]*?)\S*src\/cli\/main\.ts/.exec(text)?.[1] ?? '').match(/--\S+/g)
    const { scripts } = z
      .object({ scripts: z.record(z.string(), z.string()) })
      .parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')))
    const ours = flagsOf(readFileSync(join(ROOT, 'deploy/gatehouse'), 'utf8'))
    expect(ours).toEqual(flagsOf(scripts['gatehouse'] ?? ''))
  })

  test.skipIf(!hasHadolint)('passes hadolint', () => {
    expect(execFileSync('hadolint', [FILE], { encoding: 'utf8' })).toBe('')
  })
})
