import type { Route } from './routes.ts'
import type { AccessToken } from '../tokens/access-token.ts'
import { OCR_SCOPE } from '../tokens/access-token.ts'
import { LEVELS } from './limited-accounts.ts'
import type { Remaining } from './remaining.ts'

/** Where callers find what they have left. It is not counted itself. */
export const USAGE_ROUTE: Route = {
  method: 'GET',
  path: '/_gatehouse/usage',
  scopes: [OCR_SCOPE],
  maxBodyBytes: 0,
  firstByteMs: 0,
  idleMs: 0,
}

/** Who calls and, in the shape of the `limits` claim, how much of each limit there is and is left. */
export function usageDocument(token: AccessToken, remaining: readonly Remaining[]): string {
  const levels = LEVELS.flatMap((level) => {
    const limits = remaining.filter((each) => each.level === level).map(describe)
    return limits.length === 0 ? [] : [[level, Object.fromEntries(limits)]]
  })
  return JSON.stringify({
    tenant_id: token.tenantId,
    client_id: token.clientId,
    sub: token.subject,
    limits: Object.fromEntries(levels),
  })
}

const describe = ({ name, quota, remaining, resetSeconds }: Remaining) =>
  [name, { quota, remaining, resets_in_seconds: resetSeconds }] as const
