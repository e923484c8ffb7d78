import { existsSync, globSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { expect, test } from 'vitest'
import { projectsThatRun } from './support/test-projects.ts'

const DOCUMENT = readFileSync('docs/threat-model.md', 'utf8')
const LINK = /\]\((\.\.\/test\/[^)#]+)\)/g

/** The lines of its tables that name an attacker, cell by cell. */
const lines = DOCUMENT.split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .filter((cells) => cells.length === 6 && cells[1] !== 'attacker')

const testsIn = (text: string): string[] =>
  [...text.matchAll(LINK)].map(([, path = '']) => posix.join('docs', path))

test('the threat model names the attackers that a guard of a GPU has', () => {
  const attackers = lines.map(([, attacker = '']) => attacker).join('\n')
  for (const named of [
    'access token',
    'client secret',
    'signing key',
    'disk or a backup',
    'malicious tenant',
    'malicious client app',
    'denial of service',
    'network attacker',
    'model server',
    'log reader',
    'Redis intruder',
    'operator',
    'supply chain',
  ]) {
    expect(attackers).toContain(named)
  }
})

test.each(lines.map(([, attacker = '', stops = '', tests = '']) => [attacker, stops, tests]))(
  'against whoever %s there is a test that is run',
  (_attacker, stops, tests) => {
    expect(stops).not.toBe('')
    expect(testsIn(tests).length).toBeGreaterThan(0)
    for (const path of testsIn(tests)) {
      const found = { path, exists: existsSync(path), projects: projectsThatRun(path).length }
      expect(found).toEqual({ path, exists: true, projects: 1 })
    }
  },
)

test('every attack that is a test is in the threat model', () => {
  const named = new Set(testsIn(DOCUMENT))
  const attacks = globSync('test/attacks/*.test.ts').filter((path) => !named.has(path))
  expect(attacks).toEqual([])
})
