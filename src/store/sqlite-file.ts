import { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../kernel/clock.ts'
import { AppError, ConfigError } from '../kernel/errors.ts'
import { createPrivateFile } from '../kernel/private-file.ts'
import { SCHEMA_VERSION, currentSchemaVersion, migrate } from './sqlite-schema.ts'

const SQLITE_BUSY = 5
const SQLITE_NOTADB = 26
/** A process that is just going away may still hold the file. */
const BUSY_TIMEOUT_MS = 1000

/**
 * Opens the database file, made when it is missing (0600), for this process alone, and brings its schema up to date.
 * Throws a ConfigError when another process has it, when it is not ours, or when a newer Gatehouse wrote it.
 */
export async function openDatabaseFile(path: string, clock: Clock): Promise<DatabaseSync> {
  let database: DatabaseSync | undefined
  try {
    await createPrivateFile(path, '')
    database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS })
    lockAndTune(database)
    refuseForeignSchema(database, path)
    migrate(database, clock)
    return database
  } catch (error) {
    database?.close()
    throw toOpenError(error, path)
  }
}

/**
 * An exclusively locked WAL needs no shared memory, and the lock is the operating system's: it goes with the process,
 * however that ends. `synchronous = full` syncs the WAL before a commit returns, so what was acknowledged survives
 * kill -9 and a power cut.
 */
function lockAndTune(database: DatabaseSync): void {
  database.exec(`
    pragma locking_mode = exclusive;
    pragma journal_mode = wal;
    pragma synchronous = full;
    pragma journal_size_limit = 67108864;
    begin immediate;
    commit;
  `)
}

function refuseForeignSchema(database: DatabaseSync, path: string): void {
  const version = currentSchemaVersion(database)
  if (version === 'foreign') {
    throw new ConfigError(
      [`${path} is a database of another program`],
      'set dataDir to a folder of its own',
    )
  }
  if (version > SCHEMA_VERSION) {
    throw new ConfigError(
      [
        `${path} has schema version ${version}, but this Gatehouse knows versions up to ${SCHEMA_VERSION}`,
      ],
      'run the newer Gatehouse that wrote it, or restore a backup made by this version',
    )
  }
}

function toOpenError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || error instanceof ConfigError) return error
  switch (sqliteCode(error)) {
    case undefined:
      return 'syscall' in error ? new ConfigError([`${path} cannot be opened`]) : error
    case SQLITE_BUSY:
      return new ConfigError(
        [`${path} is in use by another process`],
        'stop the other Gatehouse, or set redis.url to run more than one',
      )
    case SQLITE_NOTADB:
      return new ConfigError([`${path} is not a SQLite database`], 'restore a backup')
    default:
      return new ConfigError([`${path} cannot be opened: ${error.message}`])
  }
}

/** What a full disk or a failing one looks like while running. Anything that SQLite did not say is returned as it is. */
export function toStoreError(error: unknown): unknown {
  const code = sqliteCode(error)
  if (code === undefined) return error
  return new AppError('temporarily_unavailable', 'The store does not answer.', {
    reason: `sqlite_error_${code}`,
    cause: error,
    headers: { 'retry-after': '1' },
  })
}

/** SQLite's primary result code, which is the low byte of the extended one. */
function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined
}
