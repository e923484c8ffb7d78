import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

/** Makes empty folders, all gone once the tests of the file are over. Call it at the top of the file. */
export function useTempFolders(): () => string {
  const root = mkdtempSync(join(tmpdir(), 'gatehouse-unit-'))
  afterAll(() => rmSync(root, { recursive: true }))
  return () => mkdtempSync(join(root, 'folder-'))
}
