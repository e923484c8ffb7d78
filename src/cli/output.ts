import type { Writable } from 'node:stream'
import { once } from 'node:events'
import { formatTable } from './table.ts'

export function writeJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

/** One object for people: a line for each member. */
export function writeFields(members: Readonly<Record<string, unknown>>): void {
  const shown = Object.entries(members).filter(([, value]) => value !== undefined)
  const width = Math.max(0, ...shown.map(([name]) => name.length))
  for (const [name, value] of shown) {
    process.stdout.write(`${name.padEnd(width)}  ${describe(name, value)}\n`)
  }
}

export type List = {
  pages: AsyncGenerator<readonly unknown[]>
  json: boolean
  headings: readonly string[]
  toRow: (item: unknown) => readonly string[]
}

/** Writes a list page by page, so that its length does not matter: a table, or one JSON document. */
export async function writeList({ pages, json, headings, toRow }: List): Promise<void> {
  if (json) return writeJsonList(pages)
  let isFirst = true
  for await (const page of pages) {
    if (!isFirst && page.length === 0) continue
    await write(process.stdout, `${formatTable(isFirst ? headings : [], page.map(toRow))}\n`)
    isFirst = false
  }
}

async function writeJsonList(pages: AsyncGenerator<readonly unknown[]>): Promise<void> {
  let separator = '\n'
  let isOpen = false
  for await (const page of pages) {
    if (!isOpen) await write(process.stdout, '{\n  "items": [')
    isOpen = true
    for (const item of page) {
      await write(process.stdout, `${separator}    ${JSON.stringify(item)}`)
      separator = ',\n'
    }
  }
  await write(process.stdout, separator === '\n' ? ']\n}\n' : '\n  ]\n}\n')
}

async function write(out: Writable, text: string): Promise<void> {
  if (!out.write(text)) await once(out, 'drain')
}

function describe(name: string, value: unknown): string {
  if (typeof value === 'number' && name.endsWith('_at')) return formatTime(value)
  if (typeof value === 'string') return value
  return JSON.stringify(value)
}

/** Seconds since the epoch as people read them. */
export const formatTime = (seconds: number): string => new Date(seconds * 1000).toISOString()
