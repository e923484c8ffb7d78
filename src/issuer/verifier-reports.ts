import type { IncomingMessage } from 'node:http'
import type { Clock } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import { saveVerifier, verifierReportSchema, type VerifierReport } from '../keys/verifiers.ts'
import type { Store } from '../store/store.ts'
import type { OwnRoute } from './own-route.ts'
import { REVOCATIONS_SCOPE } from './revocation-feed.ts'
import type { TokenAuthenticator } from './token-authentication.ts'

const MAX_BODY_BYTES = 16_384

export type VerifierReportsOptions = {
  store: Store
  authenticate: TokenAuthenticator
  clock: Clock
}

/** `POST /revocations/verifiers`: which keys a proxy that follows the feed has, so that operators can wait for it. */
export function verifierReportsRoute({
  store,
  authenticate,
  clock,
}: VerifierReportsOptions): OwnRoute {
  return {
    path: '/revocations/verifiers',
    async serve(req, res) {
      const { clientId } = await authenticate(req, REVOCATIONS_SCOPE)
      await saveVerifier(store, await readReport(req), { clientId, clock })
      res.writeHead(204, { 'cache-control': 'no-store' }).end()
    },
  }
}

async function readReport(req: IncomingMessage): Promise<VerifierReport> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of req.iterator({ destroyOnReturn: false })) {
    if (!Buffer.isBuffer(chunk)) continue
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) throw new AppError('content_too_large', 'At most 16 KiB.')
    chunks.push(chunk)
  }
  const parsed = verifierReportSchema.safeParse(parseJson(Buffer.concat(chunks).toString('utf8')))
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
