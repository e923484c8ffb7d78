import { readFileSync, writeFileSync } from 'node:fs'
import { errorTable } from './error-table.ts'
import { settingsTables } from './settings-tables.ts'
import { CHINESE, ENGLISH } from './settings-words.ts'

/** What the program knows better than a page that is written by hand: where it stands, under which name, and what makes it. */
const BLOCKS = [
  { page: 'http-api.md', name: 'errors', make: () => errorTable('en') },
  { page: 'zh-CN/http-api.md', name: 'errors', make: () => errorTable('zh-CN') },
  { page: 'configuration.md', name: 'settings', make: () => settingsTables(ENGLISH) },
  { page: 'zh-CN/configuration.md', name: 'settings', make: () => settingsTables(CHINESE) },
]

export type GeneratedPage = {
  name: string
  written: string
  /** The same with every block made anew. */
  renewed: string
}

export function readGeneratedPages(): GeneratedPage[] {
  return [...new Set(BLOCKS.map(({ page }) => page))].map((name) => {
    const written = readFileSync(placeOf(name), 'utf8')
    const renewed = BLOCKS.filter(({ page }) => page === name).reduce(
      (text, block) => replaceBlock(text, block.name, block.make()),
      written,
    )
    return { name, written, renewed }
  })
}

function replaceBlock(page: string, name: string, content: string): string {
  const begin = `<!-- ${name}: made by \`npm run docs\` -->\n`
  const end = `<!-- /${name} -->`
  const [before, rest, ...more] = page.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`there must be one place for ${name}, between ${begin.trim()} and ${end}`)
  }
  return [before, begin, content, '\n', end, after].join('')
}

const placeOf = (page: string): URL => new URL(page, import.meta.url)

if (import.meta.main) {
  for (const { name, renewed } of readGeneratedPages()) writeFileSync(placeOf(name), renewed)
}
