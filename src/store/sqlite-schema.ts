import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../kernel/clock.ts'
import { integerIn } from './sqlite-row.ts'

/** Each is applied once, in order, and never changed after a release: position n leads to schema version n + 1. */
const MIGRATIONS = [
  `
  create table record (
    collection text not null,
    id text not null,
    version text not null,
    value text not null,
    expires_at integer,
    primary key (collection, id)
  ) strict, without rowid;
  create index record_by_expiry on record (expires_at) where expires_at is not null;

  create table journal_entry (
    id integer primary key autoincrement,
    journal text not null,
    appended_at integer not null,
    value text not null
  ) strict;
  create index journal_entry_by_journal on journal_entry (journal, id);
  `,
] as const

export const SCHEMA_VERSION = MIGRATIONS.length

/** 0 for an empty file; `foreign` when there are tables but no version table of ours. */
export function currentSchemaVersion(database: DatabaseSync): number | 'foreign' {
  const tables = database.prepare("select name from sqlite_schema where type = 'table'").all()
  if (tables.length === 0) return 0
  if (!tables.some(({ name }) => name === 'schema_version')) return 'foreign'
  return integerIn(
    database.prepare('select coalesce(max(version), 0) as version from schema_version').get(),
    'version',
  )
}

/** Applies what is missing, all of it or nothing. */
export function migrate(database: DatabaseSync, clock: Clock): void {
  database.exec('begin immediate')
  try {
    database.exec(
      'create table if not exists schema_version (version integer primary key, applied_at integer not null) strict',
    )
    const from = currentSchemaVersion(database)
    const note = database.prepare('insert into schema_version (version, applied_at) values (?, ?)')
    for (const [index, sql] of MIGRATIONS.entries()) {
      if (from !== 'foreign' && index < from) continue
      database.exec(sql)
      note.run(index + 1, clock())
    }
    database.exec('commit')
  } catch (error) {
    database.exec('rollback')
    throw error
  }
}
