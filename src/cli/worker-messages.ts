import { z } from 'zod'
import { configSchema } from '../config/schema.ts'

const checksSchema = z.record(
  z.string(),
  z.object({ status: z.enum(['ok', 'unavailable']), detail: z.string().optional() }),
)
export type WorkerChecks = z.output<typeof checksSchema>

/** What the first process tells a worker. */
export const toWorkerSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('start'), worker: z.int(), config: configSchema }),
  z.object({ kind: z.literal('reload'), config: configSchema }),
  z.object({ kind: z.literal('metrics'), id: z.int() }),
  z.object({ kind: z.literal('stop'), drainSeconds: z.number() }),
])
export type ToWorker = z.output<typeof toWorkerSchema>

/** What a worker tells the first process. */
export const fromWorkerSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready'), checks: checksSchema }),
  z.object({ kind: z.literal('checks'), checks: checksSchema }),
  z.object({
    kind: z.literal('refused'),
    problems: z.array(z.string()),
    hint: z.string().optional(),
  }),
  z.object({
    kind: z.literal('metrics'),
    id: z.int(),
    metrics: z.array(z.looseObject({ name: z.string() })),
  }),
])
export type FromWorker = z.output<typeof fromWorkerSchema>
export type WorkerMetrics = Extract<FromWorker, { kind: 'metrics' }>['metrics']
