import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { z } from 'zod'

const keyValues = z.array(
  z.object({
    key: z.string(),
    value: z.union([
      z.strictObject({ stringValue: z.string() }),
      z.strictObject({ intValue: z.string().regex(/^-?\d+$/) }),
      z.strictObject({ doubleValue: z.number() }),
    ]),
  }),
)
const spanSchema = z.strictObject({
  traceId: z.string().regex(/^[0-9a-f]{32}$/),
  spanId: z.string().regex(/^[0-9a-f]{16}$/),
  parentSpanId: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .optional(),
  name: z.string().min(1),
  kind: z.union([z.literal(2), z.literal(3)]),
  startTimeUnixNano: z.string().regex(/^\d{19}$/),
  endTimeUnixNano: z.string().regex(/^\d{19}$/),
  attributes: keyValues,
  status: z.strictObject({ code: z.literal(2).optional() }),
})
const exportSchema = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.strictObject({ attributes: keyValues }),
      scopeSpans: z.array(
        z.strictObject({ scope: z.object({ name: z.string() }), spans: z.array(spanSchema) }),
      ),
    }),
  ),
})

export type CollectedSpan = Omit<z.infer<typeof spanSchema>, 'attributes'> & {
  service: unknown
  attributes: Record<string, unknown>
}

export type Collector = {
  url: string
  spans: CollectedSpan[]
  authorizations: (string | undefined)[]
  requests: number
  /** What it answers from now on. */
  answerWith: (status: number) => void
  close: () => Promise<void>
}

/** A stand-in for an OpenTelemetry collector, which takes nothing but what `trace.proto` allows in JSON. */
export async function startCollector(): Promise<Collector> {
  let status = 200
  const server = createServer((req, res) => {
    void (async () => {
      collector.requests += 1
      collector.authorizations.push(req.headers.authorization)
      const isTraces = req.method === 'POST' && req.url === '/v1/traces'
      const parsed = exportSchema.safeParse(await json(req))
      if (!isTraces || !parsed.success) return void res.writeHead(400).end()
      if (status === 200) {
        for (const { resource, scopeSpans } of parsed.data.resourceSpans) {
          const service = plain(resource.attributes)['service.name']
          const spans = scopeSpans.flatMap((scope) => scope.spans)
          collector.spans.push(
            ...spans.map((span) => ({ ...span, service, attributes: plain(span.attributes) })),
          )
        }
      }
      res.writeHead(status, { 'content-type': 'application/json' }).end('{}')
    })()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const collector: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [],
    authorizations: [],
    requests: 0,
    answerWith(next) {
      status = next
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return collector
}

const plain = (attributes: z.infer<typeof keyValues>): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
