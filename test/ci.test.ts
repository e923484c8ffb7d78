import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { DEBIAN_PACKAGES, runsHere } from './support/tool.ts'

const script = readFileSync(new URL('../.ci/run', import.meta.url), 'utf8')
const BARE = { PATH: '/nowhere' }
const REQUIRED = { ...BARE, REQUIRE_TOOLS: '1' }

test('where tools are required, what Debian has must not be missing', () => {
  for (const [program, debianPackage] of DEBIAN_PACKAGES) {
    expect(() => runsHere([program], REQUIRED)).toThrow(`(Debian: ${debianPackage})`)
    expect(runsHere([program], BARE)).toBe(false)
  }
})

test('what is fetched from elsewhere may be missing', () => {
  expect(runsHere(['helm', 'version'], REQUIRED)).toBe(false)
})

test('what is there is no problem', () => {
  expect(runsHere([process.execPath, '--version'], REQUIRED)).toBe(true)
})

test('CI installs each package that it requires', () => {
  const installed = /^for package in ([^;]*);/m
    .exec(script.replaceAll('\\\n', ' '))?.[1]
    ?.split(/\s+/)
  expect(installed).toEqual(expect.arrayContaining([...DEBIAN_PACKAGES.values()]))
  expect(script).toMatch(/^(?=.*\bREQUIRE_TOOLS=1\b).* npm test$/m)
})
