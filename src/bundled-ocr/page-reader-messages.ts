import { z } from 'zod'
import { wordSchema } from './words.ts'

const fractionSchema = z.number()

/** What the reading thread says: how far loading and reading are (0 to 1), and what came of a page. */
export const readerMessageSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('loading'), fraction: fractionSchema }),
  z.object({ kind: z.literal('loaded') }),
  z.object({ kind: z.literal('reading'), fraction: fractionSchema }),
  z.object({ kind: z.literal('page'), lines: z.array(z.array(wordSchema)) }),
  z.object({ kind: z.literal('unreadable') }),
])
export type ReaderMessage = z.infer<typeof readerMessageSchema>

/** What the reading thread is started with. */
export const readerDataSchema = z.object({
  languages: z.array(z.object({ code: z.string(), file: z.string() })),
})

/** What it is told afterwards: the bytes of the next page. One at a time. */
export const pageBytesSchema = z.instanceof(Uint8Array)
