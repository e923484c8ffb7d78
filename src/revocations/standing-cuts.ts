import { z } from 'zod'
import type { Store } from '../store/store.ts'
import type { Revocation } from './revocation.ts'

/** Up to when everything of a client, subject or tenant is void, for what outlives the log: refresh tokens, codes. */
const CUTS = { name: 'revocation-cuts', layout: 'scattered' } as const
/** As long as a refresh token can be configured to live. */
export const MAX_REFRESH_TTL_SECONDS = 31_536_000

const cutSchema = z.object({ issued_before: z.int() })

export type Whose = { kind: 'client' | 'sub' | 'tenant'; value: string }

export async function keepCut(
  store: Pick<Store, 'commit'>,
  { kind, value, issued_before }: Revocation,
) {
  if (kind === 'jti' || kind === 'kid' || issued_before === undefined) return
  await store.commit(CUTS, [
    {
      kind: 'put',
      id: `${kind}/${value}`,
      value: { issued_before },
      expect: 'any',
      lifetime: { ttlSeconds: MAX_REFRESH_TTL_SECONDS },
    },
  ])
}

/** Whether something that was issued then, in seconds since the epoch, was since revoked with all else of one of these. */
export async function isCut(store: Pick<Store, 'get'>, issuedAt: number, all: readonly Whose[]) {
  const found = await Promise.all(all.map(({ kind, value }) => store.get(CUTS, `${kind}/${value}`)))
  return found.some(
    (cut) => cut !== undefined && issuedAt <= cutSchema.parse(cut.value).issued_before,
  )
}
