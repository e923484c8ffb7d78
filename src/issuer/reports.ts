import type { IncomingMessage } from 'node:http'
import { z } from 'zod'
import type { Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import { saveVerifier, verifierReportSchema } from '../keys/verifiers.ts'
import { instanceReportSchema, saveInstance } from '../store/instances.ts'
import type { Store } from '../store/store.ts'
import type { OwnRoute } from './own-route.ts'
import { REVOCATIONS_SCOPE } from './revocation-feed.ts'
import type { TokenAuthenticator } from './token-authentication.ts'

const MAX_BODY_BYTES = 16_384
/** Issuers write to the store themselves: nobody else is one. */
const proxyReportSchema = instanceReportSchema.extend({ role: z.literal('proxy') })

export type ReportsOptions = {
  store: Store
  authenticate: TokenAuthenticator
  clock: Clock
}

/**
 * What a proxy that follows the feed says of itself. `POST /revocations/verifiers`: which keys it has, so that operators can
 * wait for it; `POST /revocations/instances`: how it is.
 */
export function reportRoutes({ store, authenticate, clock }: ReportsOptions): OwnRoute[] {
  const routeOf = <Report>(
    path: OwnRoute['path'],
    schema: z.ZodType<Report>,
    save: (store: Store, report: Report, by: { clientId: string; clock: Clock }) => Promise<void>,
  ): OwnRoute => ({
    path,
    async serve(req, res) {
      const { clientId } = await authenticate(req, REVOCATIONS_SCOPE)
      await save(store, await readReport(req, schema), { clientId, clock })
      res.writeHead(204, { 'cache-control': 'no-store' }).end()
    },
  })
  return [
    routeOf('/revocations/verifiers', verifierReportSchema, saveVerifier),
    routeOf('/revocations/instances', proxyReportSchema, saveInstance),
  ]
}

async function readReport<Report>(
  req: IncomingMessage,
  schema: z.ZodType<Report>,
): Promise<Report> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of req.iterator({ destroyOnReturn: false })) {
    if (!Buffer.isBuffer(chunk)) continue
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) throw new AppError('content_too_large', 'At most 16 KiB.')
    chunks.push(chunk)
  }
  const parsed = schema.safeParse(parseJson(Buffer.concat(chunks).toString('utf8')))
  if (parsed.success) return parsed.data
  const member = parsed.error.issues[0]?.path.join('.') || 'the body'
  throw new AppError('malformed_request', `${member} is missing or not valid.`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
