import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { createYoungCollection } from '../../src/cli/garbage.ts'

const PROGRAM = `
import { createYoungCollection } from '${new URL('../../src/cli/garbage.ts', import.meta.url).href}'
const collect = createYoungCollection()
collect()
const before = process.memoryUsage().arrayBuffers
const held = () => process.memoryUsage().arrayBuffers - before
const makeGarbage = () => {
  for (let i = 0; i < 300; i += 1) Buffer.alloc(65_536)
}
makeGarbage()
console.log(held() > 5_000_000)
collect()
const asking = setInterval(() => held() < 1_000_000 && clearInterval(asking), 5)
`

test('a young collection frees buffers that nobody holds any more, where Node lets it', () => {
  const flags = ['--expose-gc', '--input-type=module', '--eval']
  // It ends when they are freed.
  const said = execFileSync(process.execPath, [...flags, PROGRAM], { timeout: 20_000 })
  expect(String(said)).toBe('true\n')
})

test('where Node does not, it does nothing', () => {
  expect(createYoungCollection()).not.toThrow()
})
