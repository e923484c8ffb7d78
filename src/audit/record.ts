import { randomBytes } from 'node:crypto'
import { z } from 'zod'

/** What is in the trail: who was let in or not, and every change that an operator made. */
const eventSchema = z.union([
  z.enum([
    'token.issued',
    'token.refused',
    'token.revoked',
    'sign_in.granted',
    'sign_in.refused',
    'proxy.call',
  ]),
  z.templateLiteral(['admin.', z.string().regex(/^[a-z_]+\.[a-z_-]+$/)]),
])

const usageSchema = z.strictObject({
  prompt_tokens: z.number().optional(),
  completion_tokens: z.number().optional(),
  images: z.number().optional(),
  estimated: z.boolean().optional(),
})

const text = z.string().optional()
const number = z.number().optional()

/** Takes of an object what a record has, if it is about an audited event. */
export const auditFactsSchema = z.object({
  event: eventSchema,
  request_id: text,
  decision: z.enum(['allow', 'deny']),
  reason: text,
  tenant_id: text,
  client_id: text,
  sub: text,
  jti: text,
  kid: text,
  remote_addr: text,
  target: text.describe('what an operator changed'),
  method: text,
  route: text,
  status: number,
  upstream: text,
  bytes_in: number,
  bytes_out: number,
  queued_ms: number,
  duration_ms: number,
  usage: usageSchema.optional(),
})

/** What happened: the members that a record may have, and no others. Never a token, a secret or a document. */
type Members = z.output<typeof auditFactsSchema>
export type AuditFacts = Pick<Members, 'event' | 'decision'> & {
  [name in keyof Members]?: Members[name] | undefined
}

/** One line of the trail as it is read back. */
export const auditRecordSchema = z.strictObject({
  time: z.iso.datetime().describe('RFC 3339, UTC'),
  writer: z.string().describe('the process that wrote it'),
  seq: z.int().min(1).describe('its place among the records of that writer'),
  ...auditFactsSchema.shape,
  prev: z.string().describe("hash of the writer's record before; empty in its first"),
  hash: z.string().describe('base64url SHA-256 of the line without this member'),
})
export type AuditRecord = z.output<typeof auditRecordSchema>

/** In the order in which it is read back, so that a record has one form. */
function orderedUsage(usage: NonNullable<AuditFacts['usage']>) {
  const { prompt_tokens, completion_tokens, images, estimated } = usage
  return { prompt_tokens, completion_tokens, images, estimated }
}

/** One that no other process of that role has had. */
export const newWriterId = (role: string): string => `${role}-${randomBytes(4).toString('hex')}`

/** Where a record stands: said by the writer, not by whoever reports what happened. */
export type AuditPlace = { time: string; writer: string; seq: number }

/** The line without its last two members and without the closing brace: serialised once, spelt out, in contract order. */
export function formatDraft(place: AuditPlace, facts: AuditFacts): string {
  return JSON.stringify({
    time: place.time,
    writer: place.writer,
    seq: place.seq,
    event: facts.event,
    request_id: facts.request_id,
    decision: facts.decision,
    reason: facts.reason,
    tenant_id: facts.tenant_id,
    client_id: facts.client_id,
    sub: facts.sub,
    jti: facts.jti,
    kid: facts.kid,
    remote_addr: facts.remote_addr,
    target: facts.target,
    method: facts.method,
    route: facts.route,
    status: facts.status,
    upstream: facts.upstream,
    bytes_in: facts.bytes_in,
    bytes_out: facts.bytes_out,
    queued_ms: facts.queued_ms,
    duration_ms: facts.duration_ms,
    usage: facts.usage && orderedUsage(facts.usage),
  } satisfies Record<keyof Members | keyof AuditPlace, unknown>).slice(0, -1)
}
