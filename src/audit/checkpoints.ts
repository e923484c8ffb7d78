import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { z } from 'zod'
import type { Checkpoint } from './verify.ts'

const checkpointSchema = z.object({ writer: z.string(), seq: z.int().min(1), hash: z.string() })
const loggedSchema = checkpointSchema.extend({ event: z.literal('audit.checkpoint') })

/** `writer:seq:hash`, or undefined. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  const [writer, seq, hash, ...more] = text.split(':')
  const parsed = checkpointSchema.safeParse({ writer, seq: Number(seq), hash })
  return more.length > 0 ? undefined : parsed.data
}

/** Every checkpoint in a log of ours, whatever else is in it, and in front of a line's JSON. */
export async function readCheckpoints(logFile: string): Promise<Checkpoint[]> {
  const found: Checkpoint[] = []
  for await (const line of createInterface({ input: createReadStream(logFile) })) {
    const begin = line.indexOf('{')
    if (begin === -1 || !line.includes('audit.checkpoint')) continue
    try {
      const { data } = loggedSchema.safeParse(JSON.parse(line.slice(begin)))
      if (data !== undefined) found.push({ writer: data.writer, seq: data.seq, hash: data.hash })
    } catch {
      // Something else that mentions checkpoints.
    }
  }
  return found
}
