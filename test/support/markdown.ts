import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** A fenced block of a page: what stands behind the opening fence, and the lines between. */
export type Fence = { page: string; line: number; info: string; text: string }
export type Link = { page: string; line: number; target: string }

/** Every page of the repository, by its path. */
export const markdownPages: readonly string[] = globSync('**/*.md', {
  cwd: root,
  exclude: (path) => /(^|\/)(node_modules|data|\.[^/]+)$/.test(path),
}).sort()

export const readPage = (page: string): string => readFileSync(join(root, page), 'utf8')

/** The fenced blocks of a page, also those in a list or a quotation of two spaces or more. */
export function fencesOf(page: string, text = readPage(page)): Fence[] {
  const fences: Fence[] = []
  let open: { fence: string; indent: number; block: Fence; lines: string[] } | undefined
  for (const [index, line] of text.split('\n').entries()) {
    if (open === undefined) {
      const [, indent = '', fence, info = ''] = /^( *)(`{3,}|~{3,})(.*)$/.exec(line) ?? []
      if (fence === undefined) continue
      const block = { page, line: index + 1, info: info.trim(), text: '' }
      open = { fence, indent: indent.length, block, lines: [] }
    } else if (line.trim() === open.fence) {
      fences.push({ ...open.block, text: open.lines.map((each) => `${each}\n`).join('') })
      open = undefined
    } else {
      open.lines.push(line.slice(Math.min(open.indent, line.search(/\S|$/))))
    }
  }
  if (open !== undefined) throw new Error(`${page}:${open.block.line}: the block has no end`)
  return fences
}

/** Where the links of a page go, those in code excepted. */
export function linksOf(page: string, text = readPage(page)): Link[] {
  return proseLines(page, text).flatMap(({ line, prose }) =>
    [...prose.matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)|^ {0,3}\[[^\]]+\]:\s*(\S+)/g)].map(
      ([, inline, reference]) => ({ page, line, target: inline ?? reference ?? '' }),
    ),
  )
}

/** What `#…` can be on that page: a heading as GitHub writes it into an address, or an `id`. */
export function anchorsOf(page: string, text = readPage(page)): Set<string> {
  const anchors = new Set<string>()
  for (const { prose, whole } of proseLines(page, text)) {
    for (const [, id = ''] of prose.matchAll(/\s(?:id|name)="([^"]+)"/g)) anchors.add(id)
    const heading = /^ {0,3}#{1,6}\s+(.*?)\s*#*$/.exec(whole)?.[1]
    if (heading === undefined) continue
    const slug = slugOf(heading)
    let [anchor, count] = [slug, 0]
    while (anchors.has(anchor)) anchor = `${slug}-${(count += 1)}`
    anchors.add(anchor)
  }
  return anchors
}

const slugOf = (heading: string): string =>
  heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
    .replaceAll(' ', '-')

/** The lines outside of fenced blocks: without the code in them, and whole. */
function proseLines(page: string, text: string) {
  const inFence = new Set(
    fencesOf(page, text).flatMap(({ line, text: block }) =>
      Array.from({ length: block.split('\n').length + 1 }, (_, i) => line + i),
    ),
  )
  return text
    .split('\n')
    .map((whole, i) => ({ line: i + 1, whole, prose: whole.replaceAll(/`[^`]*`/g, '``') }))
    .filter(({ line }) => !inFence.has(line))
}
