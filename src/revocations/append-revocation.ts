import type { Store } from '../store/store.ts'
import { REVOCATIONS, type Revocation } from './revocation.ts'
import { keepCut } from './standing-cuts.ts'

/** Puts the entry at the end of the log and gives its id there. Fails as a write to the store does. */
export async function appendRevocation(
  store: Pick<Store, 'append' | 'commit'>,
  entry: Revocation,
): Promise<string> {
  // Both are tried: a write that no replica has confirmed may well be there, and neither undoes the other.
  const [appended, kept] = await Promise.allSettled([
    store.append(REVOCATIONS, entry),
    keepCut(store, entry),
  ])
  if (appended.status === 'rejected') throw appended.reason
  if (kept.status === 'rejected') throw kept.reason
  return appended.value
}
