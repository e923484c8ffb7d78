import { isDeepStrictEqual } from 'node:util'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { ConfigError } from '../kernel/errors.ts'
import type { KeptDocument, KeyDocuments } from './key-documents.ts'
import { parseRing } from './ring-file.ts'
import { createRing, type MakeKey, type Ring } from './ring.ts'

/** Where a ring is kept that changes by compare-and-set. */
export type RingStore = {
  load: () => Promise<Ring>
  /** Puts `to` in the place of `from`. False, changing nothing, when somebody else was faster. */
  replace: (from: Ring, to: Ring) => Promise<boolean>
}

export type RingStoreOptions = { makeKey: MakeKey; clock: Clock }

/**
 * The ring kept as `ring.json`; on the first start it is made, with an active and a next key. One that is damaged, cannot
 * be opened or that others may read is a ConfigError and stays as it is. One that goes away later is never made anew.
 */
export async function openRingStore(
  documents: KeyDocuments,
  { makeKey, clock }: RingStoreOptions,
): Promise<RingStore> {
  if ((await documents.read('ring.json')) === undefined) {
    const [first, following] = await Promise.all([makeKey(), makeKey()])
    // Another process may have been first: then its keys count.
    await documents.create(
      'ring.json',
      formatRing(createRing(first, following, epochSeconds(clock))),
    )
  }
  let parsed: { document: KeptDocument; ring: Ring } | undefined

  const load = async () => {
    const document = await documents.read('ring.json')
    const place = documents.placeOf('ring.json')
    if (document === undefined) {
      throw new ConfigError([`${place} is gone`], 'restore it from a backup')
    }
    if (parsed?.document !== document) {
      parsed = { document, ring: await parseRing(place, document.text) }
    }
    return parsed
  }

  await load()
  return {
    load: async () => (await load()).ring,
    replace: async (from, to) => {
      const { document, ring } = await load()
      return isSame(ring, from) && documents.replace(document, formatRing(to))
    },
  }
}

export const isSame = (a: Ring, b: Ring): boolean => isDeepStrictEqual(a, b)

const formatRing = (ring: Ring): string => JSON.stringify(ring, null, 2)
