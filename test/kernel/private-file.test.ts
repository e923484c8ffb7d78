import * as fc from 'fast-check'
import { randomUUID } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/kernel/errors.ts'
import {
  createPrivateFile,
  readPrivateFile,
  writePrivateFile,
} from '../../src/kernel/private-file.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()
const newPath = () => join(newFolder(), 'secret.json')
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

describe.each([
  ['writing', writePrivateFile],
  ['creating', createPrivateFile],
])('%s a private file', (_title, write) => {
  test('leaves that one file, readable by its owner alone', async () => {
    const path = newPath()
    await write(path, 'content')
    expect(readFileSync(path, 'utf8')).toBe('content')
    expect(modeOf(path)).toBe('600')
    expect(readdirSync(dirname(path))).toEqual(['secret.json'])
  })

  test('is not swayed by a lax umask', async () => {
    const before = process.umask(0)
    try {
      const path = join(newFolder(), 'sub', 'secret.json')
      await write(path, 'content')
      expect(modeOf(path)).toBe('600')
      expect(modeOf(dirname(path))).toBe('700')
    } finally {
      process.umask(before)
    }
  })

  test('makes the folders that are missing, for their owner alone', async () => {
    const path = join(newFolder(), 'a', 'b', 'secret.json')
    await write(path, 'content')
    expect(modeOf(dirname(path))).toBe('700')
    expect(modeOf(dirname(dirname(path)))).toBe('700')
  })

  test('fails when its folder is a file, and leaves that as it was', async () => {
    const blocker = newPath()
    writeFileSync(blocker, 'in the way')
    await expect(write(join(blocker, 'secret.json'), 'content')).rejects.toThrow(/ENOTDIR|EEXIST/)
    expect(readFileSync(blocker, 'utf8')).toBe('in the way')
  })
})

describe('what is written', () => {
  test('is always what is read', async () => {
    const path = newPath()
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme' }), async (content) => {
        await writePrivateFile(path, content)
        expect(await readPrivateFile(path)).toBe(content)
      }),
      { numRuns: 15 },
    )
  })

  test('replaces the file as a whole: who has the old one open still reads the old content', async () => {
    const path = newPath()
    await writePrivateFile(path, 'the old content')
    const reader = await open(path)
    try {
      await writePrivateFile(path, 'new')
      expect(await reader.readFile('utf8')).toBe('the old content')
      expect(readFileSync(path, 'utf8')).toBe('new')
    } finally {
      await reader.close()
    }
  })

  test('is always one writer’s whole content, and no drafts stay when many write at once', async () => {
    const path = newPath()
    const contents = Array.from({ length: 8 }, (_, i) => `${i}`.repeat(10_000))
    await Promise.all(contents.map((content) => writePrivateFile(path, content)))
    expect(contents).toContain(readFileSync(path, 'utf8'))
    expect(readdirSync(dirname(path))).toEqual(['secret.json'])
  })

  test('makes a file private that was not', async () => {
    const path = newPath()
    writeFileSync(path, 'old', { mode: 0o644 })
    await writePrivateFile(path, 'new')
    expect(modeOf(path)).toBe('600')
  })

  test('leaves no draft when it cannot take its place', async () => {
    const path = newPath()
    mkdirSync(path)
    await expect(writePrivateFile(path, 'content')).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/)
    expect(readdirSync(dirname(path))).toEqual(['secret.json'])
  })
})

describe('creating a file that exists', () => {
  test('gives false and leaves it alone, with no draft beside it', async () => {
    const path = newPath()
    expect(await createPrivateFile(path, 'first')).toBe(true)
    expect(await createPrivateFile(path, 'second')).toBe(false)
    expect(readFileSync(path, 'utf8')).toBe('first')
    expect(readdirSync(dirname(path))).toEqual(['secret.json'])
  })

  test('always has exactly one winner among callers at the same time, whose content stands', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 6 }), async (callers) => {
        const path = join(newFolder(), `${randomUUID()}.json`)
        const wins = await Promise.all(
          Array.from({ length: callers }, (_, i) => createPrivateFile(path, `caller ${i}`)),
        )
        expect(wins.filter((win) => win)).toHaveLength(1)
        expect(readFileSync(path, 'utf8')).toBe(`caller ${wins.indexOf(true)}`)
        expect(readdirSync(dirname(path))).toHaveLength(1)
      }),
      { numRuns: 10 },
    )
  })
})

describe('reading', () => {
  test('gives undefined when there is no file, nor a folder for it', async () => {
    expect(await readPrivateFile(newPath())).toBeUndefined()
    expect(await readPrivateFile(join(newFolder(), 'none', 'secret.json'))).toBeUndefined()
  })

  test('fails when it is a folder', async () => {
    const path = newPath()
    mkdirSync(path, { mode: 0o700 })
    await expect(readPrivateFile(path)).rejects.toThrow('EISDIR')
  })

  test('refuses a file with any bit for group or others, and says how to mend it', async () => {
    const path = newPath()
    writeFileSync(path, 'content')
    for (const bit of [0o040, 0o020, 0o010, 0o004, 0o002, 0o001]) {
      chmodSync(path, 0o600 | bit)
      const error: unknown = await readPrivateFile(path).catch((error: unknown) => error)
      expect(error).toBeInstanceOf(ConfigError)
      expect(error).toMatchObject({
        problems: [expect.stringContaining(path)],
        hint: `chmod 600 ${path}`,
      })
    }
    chmodSync(path, 0o400)
    expect(await readPrivateFile(path)).toBe('content')
  })
})
