import { readFileSync, writeFileSync } from 'node:fs'
import { ERRORS } from '../src/kernel/errors.ts'

const PAGE = new URL('./http-api.md', import.meta.url)
const BEGIN = '<!-- errors: made by `npm run docs` -->'
const END = '<!-- /errors -->'

export const readHttpApiPage = (): string => readFileSync(PAGE, 'utf8')

/** The page with its error table made anew from the catalogue in src/kernel/errors.ts. */
export function withErrorTable(page: string): string {
  const rows = Object.entries(ERRORS)
    .sort(([, a], [, b]) => a.status - b.status)
    .map(([code, { status, title }]) => `| ${status} | \`${code}\` | ${title} |`)
  const table = ['| status | code | title |', '|---|---|---|', ...rows].join('\n')
  const before = page.slice(0, page.indexOf(BEGIN) + BEGIN.length)
  return `${before}\n${table}\n${page.slice(page.indexOf(END))}`
}

if (import.meta.main) writeFileSync(PAGE, withErrorTable(readHttpApiPage()))
