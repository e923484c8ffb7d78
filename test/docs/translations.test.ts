import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const docs = join(import.meta.dirname, '../../docs')
const translated = globSync('zh-CN/**/*.md', { cwd: docs }).map((path) =>
  path.slice('zh-CN/'.length),
)

/** Fenced blocks with their info strings, as they stand. */
function blocksOf(markdown: string): string[] {
  return markdown.match(/^ *```[^]*?^ *```$/gm) ?? []
}

const read = (path: string): string => readFileSync(join(docs, path), 'utf8')

test('every guide for readers, recipe and runbook is there in Chinese', () => {
  const pages = ['recipes/*.md', 'runbooks/*.md', 'production-checklist.md'].flatMap((pattern) =>
    globSync(pattern, { cwd: docs }),
  )
  expect(translated).toEqual(expect.arrayContaining(pages))
  expect(pages.length).toBeGreaterThan(8)
})

test.each(translated)('%s has the same commands in Chinese as in English', (path) => {
  const [english, chinese] = [read(path), read(`zh-CN/${path}`)].map(blocksOf)
  expect(chinese).toEqual(english)
})

test('the README has the same commands in Chinese as in English', () => {
  const [english, chinese] = [read('../README.md'), read('../README.zh-CN.md')].map(shellBlocksOf)
  expect(chinese).toEqual(english)
})

/** Not the picture, whose words are translated. */
const shellBlocksOf = (markdown: string): string[] =>
  blocksOf(markdown).filter((block) => /^ *```\S/.test(block))
