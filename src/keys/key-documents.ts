import { z } from 'zod'
import { ConfigError } from '../kernel/errors.ts'
import type { DocumentName, DocumentPlace } from './document-place.ts'
import { seal, unseal, type Purpose, type SealingKey } from './sealing.ts'

const PURPOSES: Readonly<Record<DocumentName, Purpose>> = {
  'ring.json': 'key-ring',
  'secrets.json': 'installation-secrets',
}
const sealedSchema = z.strictObject({ sealed: z.string() })

/** A document as it was found: the very same object as long as nobody changes it. */
export type KeptDocument = {
  name: DocumentName
  /** In the clear. */
  text: string
  /** As it is kept, and what it is sealed with. */
  kept: string
  key: SealingKey | undefined
}

/** The documents of a place in the clear; whether and with what they are sealed there is nobody else's matter. */
export type KeyDocuments = {
  placeOf: DocumentPlace['placeOf']
  read: (name: DocumentName) => Promise<KeptDocument | undefined>
  /** The document that was kept, also by somebody else. A ConfigError when it cannot be opened. */
  open: (name: DocumentName, kept: string) => Promise<KeptDocument>
  create: (name: DocumentName, text: string) => Promise<boolean>
  /** Sealed with what the document before was: others may not know the newer key yet. */
  replace: (from: KeptDocument, text: string) => Promise<boolean>
  /** Seals with the current key what is not. False when somebody else was faster. */
  reseal: (name: DocumentName) => Promise<'resealed' | 'current' | 'lost'>
}

/** The first of the keys seals; each of them opens. A place that is not private takes no document without. */
export function createKeyDocuments(
  place: DocumentPlace,
  keys: readonly SealingKey[],
): KeyDocuments {
  const [current] = keys
  if (!place.isPrivate && current?.alg !== 'dir') {
    throw new ConfigError(
      ['keys.encryptionKey: required with redis.url'],
      'make one with `openssl rand -base64 32` and give it to every issuer',
    )
  }
  const known = new Map<DocumentName, KeptDocument>()

  const write = (name: DocumentName, text: string, key: SealingKey | undefined) =>
    key === undefined ? Promise.resolve(text) : sealed(text, PURPOSES[name], key)

  const open = async (name: DocumentName, kept: string): Promise<KeptDocument> => {
    const before = known.get(name)
    if (before?.kept === kept) return before
    const where = place.placeOf(name)
    const jwe = sealedSchema.safeParse(parseJson(kept)).data?.sealed
    if (jwe === undefined && !place.isPrivate) {
      throw new ConfigError([`${where} is damaged: it is not sealed`], 'restore it from a backup')
    }
    const opened =
      jwe === undefined
        ? { text: kept, key: undefined }
        : await unseal(jwe, { purpose: PURPOSES[name], where, keys })
    const document = { name, kept, ...opened }
    known.set(name, document)
    return document
  }

  const read = async (name: DocumentName) => {
    const kept = await place.read(name)
    return kept === undefined ? undefined : open(name, kept)
  }

  const put = async ({ name, kept }: KeptDocument, text: string, key: SealingKey | undefined) =>
    place.replace(name, { from: kept, to: await write(name, text, key) })

  return {
    placeOf: place.placeOf,
    read,
    open,
    create: async (name, text) => place.create(name, await write(name, text, current)),
    replace: (from, text) => put(from, text, from.key),
    reseal: async (name) => {
      const document = await read(name)
      if (document === undefined || document.key === current) return 'current'
      return (await put(document, document.text, current)) ? 'resealed' : 'lost'
    },
  }
}

async function sealed(text: string, purpose: Purpose, key: SealingKey): Promise<string> {
  return JSON.stringify({ sealed: await seal(text, purpose, key) })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
