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

/** For contributors, who read and write English here, as docs/adr and bench are. */
const ENGLISH_ALONE = ['architecture.md']

test('every page but a few is there in Chinese, and no page without an original', () => {
  const pages = globSync(['*.md', '{guides,recipes,runbooks}/*.md'], { cwd: docs })
  expect(translated.toSorted()).toEqual(
    pages.filter((page) => !ENGLISH_ALONE.includes(page)).toSorted(),
  )
  expect(pages).toEqual(expect.arrayContaining(ENGLISH_ALONE))
})

test.each(translated)('%s has the same commands in Chinese as in English', (path) => {
  const [english, chinese] = [read(path), read(`zh-CN/${path}`)].map(blocksOf)
  expect(chinese).toEqual(english)
})

/** What stands in code is the same in each language: what one page names and the other does not was forgotten. */
test.each(translated)('%s names the same settings, routes and messages in both', (path) => {
  const [english, chinese] = [read(path), read(`zh-CN/${path}`)].map(namesIn)
  expect(chinese).toEqual(english)
})

test('the README names the same in both', () => {
  const [english, chinese] = [read('../README.md'), read('../README.zh-CN.md')].map(namesIn)
  expect(chinese).toEqual(english)
})

/** In code outside of fenced blocks. */
function namesIn(markdown: string): string[] {
  const prose = blocksOf(markdown).reduce((text, block) => text.replace(block, ''), markdown)
  const names = Array.from(prose.matchAll(/`([^`]+)`/g), ([, name = '']) =>
    name.replaceAll(/\s+/g, ' '),
  )
  return [...new Set(names)].toSorted()
}

test('the README has the same commands in Chinese as in English', () => {
  const [english, chinese] = [read('../README.md'), read('../README.zh-CN.md')].map(shellBlocksOf)
  expect(chinese).toEqual(english)
})

/** Not the picture, whose words are translated. */
const shellBlocksOf = (markdown: string): string[] =>
  blocksOf(markdown).filter((block) => /^ *```\S/.test(block))
