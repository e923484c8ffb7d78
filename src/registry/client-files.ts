import { randomUUID } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import { ConfigError } from '../kernel/errors.ts'
import { createPrivateFile, readPrivateFile } from '../kernel/private-file.ts'
import { generateClientSecret, hashClientSecret, isClientSecret } from './client-secret.ts'
import {
  clientIdSchema,
  clientRecordSchema,
  newClientSchema,
  viewClient,
  type ClientRecord,
  type ClientView,
  type NewClient,
} from './client.ts'

export type ClientRegistry = {
  /**
   * Makes a client and its secret, which is shown here once and never again. Undefined when the id is taken; a ZodError
   * when the request is not valid.
   */
  create: (request: NewClient) => Promise<{ client: ClientView; clientSecret: string } | undefined>
  find: (clientId: string) => Promise<ClientRecord | undefined>
  /** All clients, by id. */
  list: () => Promise<ClientView[]>
  verifySecret: (clientId: string, secret: string) => Promise<boolean>
}

const EXTENSION = '.json'

/**
 * A registry of one small file per client. The file system makes ids unique, a new client counts at once for every
 * process, and there is nothing to lock.
 */
export function createClientFiles(dir: string, clock: Clock): ClientRegistry {
  const pathOf = (clientId: string) => join(dir, `${clientId}${EXTENSION}`)

  async function find(clientId: string): Promise<ClientRecord | undefined> {
    if (!clientIdSchema.safeParse(clientId).success) return undefined
    const text = await readPrivateFile(pathOf(clientId))
    if (text === undefined) return undefined
    const record = parseRecord(pathOf(clientId), text)
    // On a file system that ignores case, another client's file may have answered.
    return record.client_id === clientId ? record : undefined
  }

  return {
    find,
    async create(request) {
      const wanted = newClientSchema.parse(request)
      const clientSecret = generateClientSecret()
      const createdAt = epochSeconds(clock)
      const record: ClientRecord = {
        ...wanted,
        client_id: wanted.client_id ?? randomUUID(),
        created_at: createdAt,
        secrets: [
          { id: randomUUID(), hash: await hashClientSecret(clientSecret), created_at: createdAt },
        ],
      }
      const isNew = await createPrivateFile(
        pathOf(record.client_id),
        JSON.stringify(record, null, 2),
      )
      return isNew ? { client: viewClient(record), clientSecret } : undefined
    },
    async list() {
      const names = await namesIn(dir)
      const ids = names
        .filter((name) => name.endsWith(EXTENSION))
        .map((name) => name.slice(0, -EXTENSION.length))
      const records = await Promise.all(ids.sort().map(find))
      return records.filter((record) => record !== undefined).map(viewClient)
    },
    async verifySecret(clientId, secret) {
      const record = await find(clientId)
      return (
        record !== undefined &&
        isClientSecret(
          secret,
          record.secrets.map(({ hash }) => hash),
        )
      )
    },
  }
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}

function parseRecord(path: string, text: string): ClientRecord {
  try {
    return clientRecordSchema.parse(JSON.parse(text))
  } catch {
    throw new ConfigError([`${path} is damaged: it does not have the shape of a client`])
  }
}
