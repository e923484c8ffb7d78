import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { fencesOf, markdownPages, root } from '../support/markdown.ts'
import { findPreviousRelease, versionOf } from '../support/previous-release.ts'
import { readVersion } from '../support/version.ts'

const version = readVersion()
const release = findPreviousRelease()
if ('missing' in release) console.warn(`!!! NO VERSIONS ARE COMPARED: ${release.missing} !!!`)

const headings = [
  ...readFileSync(join(root, 'CHANGELOG.md'), 'utf8').matchAll(/^## (\S+) \((.*)\)$/gm),
].map(([, name = '', when = '']) => ({ name, when }))

describe.skipIf('missing' in release)('the version', () => {
  const previous = 'missing' in release ? '' : versionOf(release.tag)

  // An upgrade in which both say the same cannot be seen, and an image tag would mean two things.
  test('is not that of the release before', () => {
    expect(version).not.toBe(previous)
    expect(version.localeCompare(previous, 'en', { numeric: true })).toBe(1)
  })

  test('is the first in CHANGELOG.md, before the release with its date', () => {
    expect(headings.map(({ name }) => name).slice(0, 2)).toEqual([version, previous])
    expect(headings[1]?.when).toMatch(/^\d{4}-\d\d-\d\d$/)
  })
})

test('package-lock.json has the version of package.json', () => {
  const lock = z.object({ version: z.string(), packages: z.looseObject({ '': z.unknown() }) })
  const text = readFileSync(join(root, 'package-lock.json'), 'utf8')
  const { packages, version: locked } = lock.parse(JSON.parse(text))
  expect([locked, readVersion(JSON.stringify(packages['']))]).toEqual([version, version])
})

test('every page and the Dockerfile name our images by the version', () => {
  const texts = [
    ...markdownPages.flatMap((page) => fencesOf(page)).map(({ text }) => text),
    readFileSync(join(root, 'deploy/Dockerfile'), 'utf8'),
  ]
  const tags = texts.flatMap((text) =>
    [...text.matchAll(/\bgatehouse(?:-bundled-ocr)?:(\d[\w.-]*)/g)].map(([, tag]) => tag),
  )
  expect(new Set(tags)).toEqual(new Set([version]))
})
