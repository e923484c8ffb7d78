import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'

/** What V8 keeps as hash tables once these modules are loaded. */
function slowPrototypesWith(...modules: readonly string[]): string {
  const urls = modules.map((path) => import.meta.resolve(path))
  const script = `
    for (const url of ${JSON.stringify(urls)}) await import(url)
    const builtins = [String, Number, Array, Object, Function, Promise, Map, Set, RegExp, Buffer, Uint8Array]
    const slow = builtins.filter(({ prototype }) => !%HasFastProperties(prototype))
    process.stdout.write(slow.map(({ name }) => name).join())`
  const args = ['--allow-natives-syntax', '--input-type=module', '--eval', script]
  return execFileSync(process.execPath, args, { encoding: 'utf8' })
}

test('methods of strings and of other builtins are fast in both programs', () => {
  const programs = ['../../src/cli/start-proxy.ts', '../../src/cli/start-issuer.ts']
  expect(slowPrototypesWith(...programs)).toBe('')
})

test('ioredis alone makes those of strings slow, so that something has to be done about it', () => {
  expect(slowPrototypesWith('ioredis')).toBe('String')
})
