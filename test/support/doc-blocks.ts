import { isDeepStrictEqual } from 'node:util'
import { fencesOf, readPage, type Fence } from './markdown.ts'

/**
 * What is done with a block of commands:
 * - `sh` is run, in one shell with the others of its page;
 * - `sh server` is started and goes on beside what follows; with `instead`, the server before it is stopped first. It has started
 *   when Gatehouse says so, or with `port=N` when something listens there;
 * - `sh norun reason="…"` is not run.
 *
 * `<!-- sh`, with commands up to `-->`, is the same for what a page takes for granted and does not show.
 * `needs="nginx"`: programs without which the page cannot be run any further.
 */
export type DocBlock = {
  page: string
  line: number
  text: string
  needs: readonly string[]
  isShown: boolean
} & (
  | { kind: 'run' }
  | { kind: 'server'; isInstead: boolean; port: string | undefined }
  | { kind: 'norun'; reason: string }
)

/** A page whose blocks cannot be told from each other. */
export class UnclearBlock extends Error {}

const SHELLS = /^(?:sh|bash|zsh|shell|console|terminal)\b/
const HIDDEN = /^<!-- (sh\b.*)\n([^]*?)\n-->$/gm

/** The blocks of commands of a page, in their order. UnclearBlock when one does not say what to do with it. */
export function docBlocksOf(page: string, text = readPage(page)): DocBlock[] {
  const shown = fencesOf(page, text)
    .filter(({ info }) => SHELLS.test(info))
    .map((fence) => parseBlock(fence, true))
  const hidden = [...text.matchAll(HIDDEN)].map(({ index, 1: info = '', 2: commands = '' }) => {
    const line = text.slice(0, index).split('\n').length
    return parseBlock({ page, line, info, text: `${commands}\n` }, false)
  })
  return [...shown, ...hidden].sort((a, b) => a.line - b.line)
}

function parseBlock({ page, line, text, info }: Fence, isShown: boolean): DocBlock {
  const [language, ...words] = info.match(/[^\s"]+(?:"[^"]*")?/g) ?? []
  const attributes = new Map(
    words.map((word) => {
      const [, name = '', quoted, plain] = /^([a-z]+)(?:="([^"]*)"|=(\S+))?$/.exec(word) ?? []
      return [name, quoted ?? plain ?? '']
    }),
  )
  const take = (name: string) => {
    const value = attributes.get(name)
    attributes.delete(name)
    return value
  }
  const needs = (take('needs') ?? '').split(' ').filter((program) => program !== '')
  const isNotRun = take('norun') !== undefined
  const reason = take('reason')
  const isServer = take('server') !== undefined
  const isInstead = take('instead') !== undefined
  const port = take('port')
  const block = { page, line, text, needs, isShown }

  const problem =
    language !== 'sh'
      ? 'commands are `sh`'
      : attributes.size > 0
        ? `${[...attributes.keys()].join()} is not known`
        : isNotRun !== (reason !== undefined && reason !== '')
          ? 'norun and reason="…" go together'
          : (isInstead || port !== undefined) && !isServer
            ? 'instead and port are for a server'
            : isNotRun && isServer
              ? 'either server or norun'
              : undefined
  if (problem !== undefined) throw new UnclearBlock(`${page}:${line}: \`${info}\`: ${problem}`)
  if (isNotRun) return { ...block, kind: 'norun', reason: reason ?? '' }
  return isServer ? { ...block, kind: 'server', isInstead, port } : { ...block, kind: 'run' }
}

/** The statuses above 399 that the comments of a block say `curl` will get there. */
export const expectedRefusals = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => line.includes('curl'))
    .flatMap((line) => / # .*?\b([45]\d\d)\b/.exec(line)?.[1] ?? [])

/** The page that this one is a translation of. */
export const originalOf = (page: string): string | undefined =>
  /zh-CN/.test(page) ? page.replace('zh-CN/', '').replace('.zh-CN', '') : undefined

/** Whether two pages show the same commands, and so one of them is a test of both. */
export function hasSameCommands(one: readonly DocBlock[], other: readonly DocBlock[]): boolean {
  const shown = (blocks: readonly DocBlock[]) =>
    blocks.filter(({ isShown }) => isShown).map((block) => ({ ...block, page: '', line: 0 }))
  return isDeepStrictEqual(shown(one), shown(other))
}
