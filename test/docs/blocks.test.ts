import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { docBlocksOf, expectedRefusals, hasSameCommands } from '../support/doc-blocks.ts'
import { fencesOf, markdownPages, type Fence } from '../support/markdown.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const fences = markdownPages.flatMap((page) => fencesOf(page))
const written = (language: string) => fences.filter(({ info }) => info === language)
const placeOf = ({ page, line }: Fence) => `${page}:${line}`

test.each(markdownPages)('every block of commands in %s is run, or says why it is not', (page) => {
  expect(() => docBlocksOf(page)).not.toThrow()
})

describe('a block of commands', () => {
  const parse = (info: string) => docBlocksOf('p.md', `\`\`\`${info}\na\n\`\`\`\n`)
  const common = { page: 'p.md', line: 1, text: 'a\n', needs: [], isShown: true }

  test.each([
    ['sh', { kind: 'run' }],
    ['sh server', { kind: 'server', isInstead: false, port: undefined }],
    [
      'sh server instead port=8070 needs="nginx caddy"',
      { kind: 'server', isInstead: true, port: '8070', needs: ['nginx', 'caddy'] },
    ],
    ['sh norun reason="needs a GPU"', { kind: 'norun', reason: 'needs a GPU' }],
  ])('`%s` says what is done with it', (info, said) => {
    expect(parse(info)).toEqual([{ ...common, ...said }])
  })

  test.each([
    'bash',
    'console',
    'sh norun',
    'sh norun reason=""',
    'sh reason="needs a GPU"',
    'sh norunn reason="needs a GPU"',
    'sh server norun reason="needs a GPU"',
    'sh port=8070',
    'sh instead',
  ])('`%s` does not say it', (info) => {
    expect(() => parse(info)).toThrow('p.md:1: ')
  })

  test('may be hidden, and keeps its place among the others', () => {
    const page = '```sh\na\n```\n<!-- sh server\nb\nc\n-->\n```sh\nd\n```\n'
    expect(
      docBlocksOf('p.md', page).map(({ text, kind, isShown }) => [text, kind, isShown]),
    ).toEqual([
      ['a\n', 'run', true],
      ['b\nc\n', 'server', false],
      ['d\n', 'run', true],
    ])
  })

  test('names in its comments the refusals that curl gets', () => {
    const block = 'curl a   # 401: no token\ncurl b   # 200\nls   # 404\ncurl "c#403"\n'
    expect(expectedRefusals(block)).toEqual(['401'])
  })
})

test('a translation shows the same commands when each of them is the same', () => {
  const blocksOf = (page: string, commands: string) =>
    docBlocksOf(page, `\`\`\`sh\n${commands}\n\`\`\``)
  const original = blocksOf('a.md', 'b create')
  expect(hasSameCommands(original, blocksOf('zh-CN/a.md', 'b create'))).toBe(true)
  expect(hasSameCommands(original, blocksOf('zh-CN/a.md', 'b delete'))).toBe(false)
})

describe('an example of a configuration', () => {
  const newFolder = useTempFolders()

  test.each(written('yaml').map((fence) => [placeOf(fence), fence] as const))(
    'passes in %s',
    (_place, { text }) => {
      const folder = newFolder()
      const file = join(folder, 'gatehouse.yaml')
      writeFileSync(file, text)
      // What its comments say is in the environment is there.
      const secret = join(folder, 'secret')
      writeFileSync(secret, 'a secret of some length')
      const names = text.match(/GATEHOUSE_\w+_FILE/g) ?? []
      const env = Object.fromEntries(names.map((name) => [name, secret]))
      expect(loadConfig({ file, env })).toMatchObject({ warnings: [] })
    },
  )

  test.each(written('json').map((fence) => [placeOf(fence), fence] as const))(
    'is JSON in %s, one document or several',
    (_place, { text }) => {
      const list = `[${text.replaceAll('}\n{', '},\n{')}]`
      expect(() => JSON.parse(list) as unknown).not.toThrow()
    },
  )
})
