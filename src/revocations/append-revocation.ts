import type { Store } from '../store/store.ts'
import { REVOCATIONS, type Revocation } from './revocation.ts'

/** Puts the entry at the end of the log and gives its id there. Fails as `store.append` does. */
export function appendRevocation(store: Pick<Store, 'append'>, entry: Revocation): Promise<string> {
  return store.append(REVOCATIONS, entry)
}
