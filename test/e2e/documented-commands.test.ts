import { afterAll, describe, expect, test } from 'vitest'
import { docBlocksOf, hasSameCommands, originalOf, type DocBlock } from '../support/doc-blocks.ts'
import { markdownPages } from '../support/markdown.ts'
import { isThere, PAGE_TIMEOUT_MS, runDocPage, whyNot } from '../support/run-doc-page.ts'

const all = markdownPages.map((page) => ({ page, blocks: docBlocksOf(page) }))
const runnable = ({ blocks }: (typeof all)[number]) => blocks.filter(({ kind }) => kind !== 'norun')

/** A translation with the commands of its original needs no second run. */
const pages = all.filter((entry) => {
  const original = all.find(({ page }) => page === originalOf(entry.page))
  const isRun = original !== undefined && hasSameCommands(runnable(original), runnable(entry))
  return runnable(entry).some(({ isShown }) => isShown) && !isRun
})

const ran: DocBlock[] = []
const notRun = all.flatMap(({ blocks }) =>
  blocks.flatMap((block) =>
    block.kind === 'norun' ? [`${block.page}:${block.line}: ${block.reason}`] : [],
  ),
)

if (whyNot !== undefined) {
  console.warn(`\n!!! NO COMMAND OF THE DOCUMENTATION IS RUN: ${whyNot} !!!\n`)
}

describe.skipIf(whyNot !== undefined)('the commands of the documentation', () => {
  afterAll(() => {
    const count = ran.filter(({ isShown }) => isShown).length
    console.log(
      [`${count} blocks of commands ran; not run:`, ...notRun.map((each) => `  ${each}`)].join(
        '\n',
      ),
    )
  })

  const options = { timeout: PAGE_TIMEOUT_MS + 10_000 }
  test.concurrent.each(pages)('work as they stand in $page', options, async (entry) => {
    const blocks = upToMissing(runnable(entry))
    expect(await runDocPage(blocks)).toBeUndefined()
    ran.push(...blocks)
  })
})

describe.skipIf(whyNot !== undefined)('a page', () => {
  const run = (page: string) => runDocPage(docBlocksOf('p.md', page))
  const block = (commands: string, info = 'sh') => `\`\`\`${info}\n${commands}\n\`\`\`\n`
  const answering = (status: number) =>
    block(
      `node -e "require('http').createServer((q, s) => s.writeHead(${status}).end()).listen(8090)"`,
      'sh server port=8090',
    )

  test('is one shell', async () => {
    const page = block('A=1; cd keys') + block('[ $A = 1 ]; [ "${PWD##*/}" = keys ]')
    expect(await run(page)).toBeUndefined()
  })

  test.each([
    ['a command fails', block('true\nfalse\ntrue'), 'p.md:1: line 2: false'],
    ['the first of a pipe fails', block('false | cat'), 'p.md:1: line 1: '],
    ['nothing sets a variable', block('echo $NOTHING'), 'NOTHING: unbound variable'],
    ['curl is refused', answering(401) + block('curl -s localhost:8090'), 'answered with: 401'],
    [
      'it is not refused as it says',
      answering(200) + block('curl -s localhost:8090 # 401'),
      'answered with: no status above 399',
    ],
    ['a server does not stay', block('exit 3', 'sh server port=8090'), 'the server has ended'],
  ])('fails when %s', async (_title, page, problem) => {
    expect(await run(page)).toContain(problem)
  })

  test('has its servers, one in place of another, and the refusals that it says', async () => {
    const other = answering(404).replace('server', 'server instead')
    const page = answering(401) + block('curl -s localhost:8090 # 401') + other
    expect(await run(`${page}${block('curl -s localhost:8090 # 404')}`)).toBeUndefined()
  })
})

/** The blocks up to the first that needs a program which is not here. */
function upToMissing(blocks: readonly DocBlock[]): readonly DocBlock[] {
  const end = blocks.findIndex(({ needs }) => needs.some((program) => !isThere(program)))
  if (end === -1) return blocks
  for (const { page, line, needs } of blocks.slice(end)) {
    notRun.push(`${page}:${line}: ${needs.join(', ') || 'what is before it'} is not here`)
  }
  return blocks.slice(0, end)
}
