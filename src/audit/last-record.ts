import type { FileHandle } from 'node:fs/promises'
import { readLine, type ChainHead } from './chain.ts'

/** More than the longest line: what a record quotes of a request was in its 16 KiB of headers. */
const TAIL_BYTES = 262_144

export type FileEnd =
  | { isIntact: true; head: ChainHead | undefined; wholeBytes: number; tornBytes: number }
  /** The last whole line is no intact record: somebody or something has changed it. */
  | { isIntact: false }

/** Where the chain in a file ends, if there is a whole line, and how much of an unfinished one comes after. */
export async function findEnd(file: FileHandle): Promise<FileEnd> {
  const { size } = await file.stat()
  const from = Math.max(0, size - TAIL_BYTES)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from)
  const tail = buffer.subarray(0, bytesRead)
  const lastNewline = tail.lastIndexOf(0x0a)
  const wholeBytes = from + lastNewline + 1
  const tornBytes = size - wholeBytes
  if (lastNewline === -1 && from === 0) {
    return { isIntact: true, head: undefined, wholeBytes, tornBytes }
  }
  const lineAt = tail.lastIndexOf(0x0a, lastNewline - 1) + 1
  const line = readLine(tail.toString('utf8', lineAt, lastNewline))
  if (line.record === undefined || !line.isIntact) return { isIntact: false }
  const { seq, hash } = line.record
  return { isIntact: true, head: { seq, hash }, wholeBytes, tornBytes }
}
