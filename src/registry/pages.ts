import type { Store } from '../store/store.ts'
import { REGISTRY } from './kept-record.ts'
import type { Page, PageQuery } from './registry.ts'

/**
 * A page of what is kept under ids that begin with `prefix`; the cursor is the rest of the last one's id. `load` is
 * called for each and leaves out what it does not know. Reads on until the page is full or nothing is left.
 */
export async function listPage<Item>(
  store: Store,
  { prefix, cursor, limit }: PageQuery & { prefix: string },
  load: (record: Loaded) => Promise<Item | undefined>,
): Promise<Page<Item>> {
  const items: Item[] = []
  let after = cursor === undefined ? undefined : `${prefix}${cursor}`
  do {
    const query = { prefix, after, limit: limit - items.length }
    const { records, next } = await store.list(REGISTRY, query)
    const loaded = await Promise.all(
      records.map(({ id, value, version }) =>
        load({ rest: id.slice(prefix.length), value, version }),
      ),
    )
    items.push(...loaded.filter((item) => item !== undefined))
    after = next
  } while (after !== undefined && items.length < limit)
  return after === undefined ? { items } : { items, next_cursor: after.slice(prefix.length) }
}

/** What was found; `rest` is its id after the prefix. */
type Loaded = { rest: string; value: unknown; version: string }
