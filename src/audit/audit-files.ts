import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** A file of one writer and one day (UTC). In the order of their names they are in the order of time. */
export type AuditFile = { name: string; path: string; day: string; writer: string }

const NAME = /^(\d{4}-\d{2}-\d{2})\.([a-z0-9-]{1,60})\.jsonl$/

export const auditFileName = (day: string, writer: string): string => `${day}.${writer}.jsonl`

/** Where the sums of a file are kept, which usage reports are made of. */
export const sumsPathOf = ({ path, name }: AuditFile): string =>
  join(dirname(path), 'usage', `${name}.json`)

export const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

/** The files in that folder, oldest first; none when there is no such folder. */
export async function listAuditFiles(dir: string): Promise<AuditFile[]> {
  const names = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const inOrder = names.sort((one, other) => (one < other ? -1 : 1))
  return inOrder.flatMap((name) => {
    const [, day, writer] = NAME.exec(name) ?? []
    return day === undefined || writer === undefined
      ? []
      : [{ name, path: join(dir, name), day, writer }]
  })
}
