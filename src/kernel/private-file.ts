import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { link, mkdir, open, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DURABLE, syncFile } from './durable-file.ts'
import { ConfigError } from './errors.ts'

/** What is long comes in parts; when they fail, nothing is left of them. */
type Content = string | AsyncIterable<Uint8Array>

/** Replaces the file as a whole (written beside it, synced, renamed), readable by its owner alone (0600). */
export async function writePrivateFile(path: string, content: Content): Promise<void> {
  const draft = await writeDraft(path, content)
  try {
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  await syncFolder(dirname(path))
}

/** The same for a file that must not exist yet. Gives false, changing nothing, when it does. */
export async function createPrivateFile(path: string, content: string): Promise<boolean> {
  const draft = await writeDraft(path, content)
  try {
    await link(draft, path)
    await syncFolder(dirname(path))
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  } finally {
    await rm(draft)
  }
}

/** Its content, or undefined when there is none. A file that others may read is a ConfigError. */
export async function readPrivateFile(path: string): Promise<string | undefined> {
  try {
    const { mode } = await stat(path)
    if ((mode & (constants.S_IRWXG | constants.S_IRWXO)) !== 0) {
      throw new ConfigError([`${path} may be read by others than its owner`], `chmod 600 ${path}`)
    }
    return await readFile(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw unusable(path, error)
  }
}

async function writeDraft(path: string, content: Content): Promise<string> {
  const draft = `${path}.${randomUUID()}.draft`
  const file = await openDraft(draft).catch((error: unknown) => {
    throw unusable(path, error)
  })
  try {
    await file.writeFile(content)
    await syncFile(file)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  } finally {
    await file.close()
  }
  return draft
}

async function openDraft(draft: string): Promise<FileHandle> {
  await mkdir(dirname(draft), { recursive: true, mode: 0o700 })
  const { O_WRONLY, O_CREAT, O_EXCL } = constants
  return open(draft, O_WRONLY | O_CREAT | O_EXCL | DURABLE, 0o600)
}

/** What the file system refuses is for the operator to change: a folder in the place of a file, a missing permission. */
function unusable(path: string, error: unknown): unknown {
  if (!(error instanceof Error && 'code' in error)) return error
  return new ConfigError([`${path} cannot be used (${String(error.code)})`])
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await syncFile(folder)
  } finally {
    await folder.close()
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
