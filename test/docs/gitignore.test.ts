import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { docBlocksOf } from '../support/doc-blocks.ts'
import { fencesOf, markdownPages, readPage, root } from '../support/markdown.ts'
import { hasTool } from '../support/tool.ts'

const isCheckout = hasTool(['git', '-C', root, 'rev-parse'], '.gitignore IS NOT TRIED')

/** How a command makes a file or folder here, or names one that its reader has made. */
const MAKES = [
  />\s*([^\s;&|)]+)/g,
  /\s(?:backup|make-key|restore) ([^\s-]\S*)/g,
  /\bmv \S+ ([^\s;]+)/g,
  /\bcp (?:-\S+ )?([^\s;]+) /g,
  /(?:--passphrase-file|--set (?:dataDir|keys\.dir)=|--cert=|--key=|--values|--from-file=(?:url=)?|KEY_FILE=) ?([^\s;]+)/g,
]

/** Not on another machine, not in a folder that has its own test, and not with a name that is known only when it runs. */
const isHere = (path: string): boolean => /^(?:\.\/)?[\w-][\w./-]*$/.test(path)

const placesOf = (page: string): string[] => {
  const commands = docBlocksOf(page).flatMap(({ text }) => text.split('\n'))
  const made = commands.flatMap((command) =>
    MAKES.flatMap((pattern) => [...command.matchAll(pattern)].map(([, path = '']) => path)),
  )
  return [...made, ...secretNamesOf(page)].filter(isHere)
}

/** Settings and prose name keys and certificates, too. */
const secretNamesOf = (page: string): string[] =>
  [...fencesOf(page).map(({ text }) => text), readPage(page)].flatMap((text) =>
    [...text.matchAll(/(?<![\w./…-])[\w-]+\.(?:pem|key|jwk|crt)\b/g)].map(([name]) => name),
  )

const pages = markdownPages.filter((page) => !page.startsWith('examples/'))
const places = [...new Set(pages.flatMap(placesOf))].toSorted()

describe.skipIf(!isCheckout)('.gitignore', () => {
  const git = (args: readonly string[], input = '') =>
    spawnSync('git', args, { cwd: root, input, encoding: 'utf8' })
      .stdout.split('\n')
      .filter((line) => line !== '')

  test('has all that the documentation lets a reader make in the checkout', () => {
    const expected = [
      'encryption.key',
      'gatehouse.yaml',
      'my-robot.json',
      'keys.lost',
      'tried/keys',
    ]
    expect(places).toEqual(expect.arrayContaining(expected))
    // What ends in / is a folder: none of them need be there.
    const asked = places.flatMap((place) => [place, `${place}/`])
    const ignored = new Set(
      git(['check-ignore', '--no-index', '--stdin'], asked.join('\n')).map(trimSlash),
    )
    const tracked = new Set(git(['ls-files']))
    const shown = places.filter((place) => !ignored.has(place) && !tracked.has(place))
    expect(shown).toEqual([])
  })

  test('has nothing that belongs to the repository', () => {
    expect(git(['ls-files', '--cached', '--ignored', '--exclude-standard'])).toEqual([])
  })
})

const trimSlash = (path: string): string => path.replace(/\/$/, '')
