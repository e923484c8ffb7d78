import { existsSync } from 'node:fs'
import { posix } from 'node:path'
import { describe, expect, test } from 'vitest'
import { anchorsOf, fencesOf, linksOf, markdownPages, readPage, root } from '../support/markdown.ts'

/** What is wrong with the links of a page. */
function brokenLinks(page: string, text = readPage(page)): string[] {
  return linksOf(page, text).flatMap(({ line, target }) => {
    if (/^[a-z]+:/i.test(target)) return []
    const [path = '', anchor] = decodeURI(target).split('#')
    const place = path === '' ? page : posix.join(posix.dirname(page), path)
    if (place.startsWith('..') || !existsSync(posix.join(root, place))) {
      return [`${page}:${line}: ${target}: there is no ${place}`]
    }
    if (anchor === undefined || (place !== page && !place.endsWith('.md'))) return []
    const anchors = place === page ? anchorsOf(page, text) : anchorsOf(place)
    return anchors.has(anchor) ? [] : [`${page}:${line}: ${target}: ${place} has no #${anchor}`]
  })
}

test.each(markdownPages)('every link of %s leads somewhere in the repository', (page) => {
  expect(brokenLinks(page)).toEqual([])
})

test('the pages are all read, and links are found in them', () => {
  expect(markdownPages).toEqual(
    expect.arrayContaining([
      'README.md',
      'README.zh-CN.md',
      'docs/adr/0001-run-typescript-as-it-is.md',
      'examples/go/README.md',
      'keys/README.md',
    ]),
  )
  const targets = linksOf('README.md').map(({ target }) => target)
  expect(targets).toEqual(expect.arrayContaining(['README.zh-CN.md', 'docs/http-api.md']))
})

describe('a link', () => {
  test.each([
    ['to a file that is not there', '[a](docs/nothing.md)', 'there is no docs/nothing.md'],
    ['out of the repository', '[a](../x.md)', 'there is no ../x.md'],
    [
      'to a heading that is not there',
      '[a](docs/http-api.md#nothing)',
      'docs/http-api.md has no #nothing',
    ],
    ['to a heading of its own page', '# A\n[a](#b)', 'README.md has no #b'],
    ['by reference', '[a]: docs/nothing.md', 'there is no docs/nothing.md'],
    ['of a picture', '![a](docs/a.svg "title")', 'there is no docs/a.svg'],
  ])('%s is found', (_title, text, problem) => {
    expect(brokenLinks('README.md', text)).toEqual([expect.stringContaining(problem)])
  })

  test.each([
    ['to another host', '[a](https://example.com/nothing)'],
    ['in code', '`[a](nothing.md)`\n```\n[a](nothing.md)\n```'],
    ['to a folder', '[a](docs/adr/)'],
    ['to a heading with code and signs', '# `a.b`: c, d & E\n[a](#ab-c-d--e)'],
    ['to the second heading of the same name', '# A\n## A\n[a](#a-1)'],
    ['to a Chinese heading', '# 试一试（二）\n[a](#试一试二)'],
    ['to an anchor', '<a id="x"></a>\n[a](#x)'],
  ])('%s is good', (_title, text) => {
    expect(brokenLinks('README.md', text)).toEqual([])
  })
})

describe('a fenced block', () => {
  test('has its info string, its line, and its text without the indentation of a list', () => {
    expect(fencesOf('p', 'a\n1. b\n\n   ```sh norun reason="c"\n   d\n     e\n   ```\n')).toEqual([
      { page: 'p', line: 4, info: 'sh norun reason="c"', text: 'd\n  e\n' },
    ])
  })

  test('without an end is an error', () => {
    expect(() => fencesOf('p', '```sh\na\n')).toThrow('p:1: the block has no end')
  })
})
