import type { AuthenticatedFile } from '../kernel/authenticated-file.ts'
import type { Clock } from '../kernel/clock.ts'
import { loadKept, saveFailed } from '../kernel/kept-state.ts'
import type { Log } from '../kernel/log.ts'
import { createPacedWrites } from '../kernel/paced-writes.ts'
import { publishedKeysSchema } from './jwks-snapshot.ts'
import type { RemoteJwks } from './remote-jwks.ts'

const PAUSE_MS = 1000

/**
 * Gives `jwks` the keys that the process before had, as old as they are, and then keeps what it knows on disk, after each
 * fetch. What cannot be relied on is left aside with a warning.
 */
export async function keepJwks(
  file: AuthenticatedFile,
  jwks: RemoteJwks,
  { clock, log }: { clock: Clock; log: Log },
): Promise<{ close: () => Promise<void> }> {
  const kept = await loadKept(file, publishedKeysSchema, {
    writtenAtMs: ({ fetchedAtMs }) => fetchedAtMs,
    clock,
    log,
  })
  if (kept !== undefined) jwks.restore(kept)
  const writes = createPacedWrites(
    async () => {
      const published = jwks.published()
      if (published !== undefined) await file.save(published)
    },
    { pauseMs: PAUSE_MS, onFailure: saveFailed(file, log) },
  )
  jwks.onChange(writes.request)
  return { close: writes.close }
}
