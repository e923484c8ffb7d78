import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import { ConfigError } from '../kernel/errors.ts'
import { tryFileLock } from '../kernel/file-lock.ts'
import { readPrivateFile, writePrivateFile } from '../kernel/private-file.ts'
import { CliError } from './cli-error.ts'

const loginSchema = z.object({
  issuer: z.string(),
  client_id: z.string(),
  refresh_token: z.string(),
})
const fileSchema = z.object({ logins: z.array(loginSchema) })

/** Somebody's sign-in at one issuer, as the command line keeps it. */
export type Login = z.infer<typeof loginSchema>

export type Logins = {
  path: string
  /**
   * Lets `decide` say what becomes of the login at that issuer, while no other command reads or changes any: a refresh
   * token counts once. Undefined removes it. When it throws, nothing is changed.
   */
  change: <T>(
    issuer: string,
    decide: (login: Login | undefined) => Promise<{ next: Login | undefined; result: T }>,
  ) => Promise<T>
}

const LOCK_WAIT_MS = 30_000
const LOCK_RETRY_MS = 50

/** The logins in the configuration folder of the user (XDG Base Directory), in one file that only they can read (0600). */
export function openLogins(configHome: string): Logins {
  const path = join(configHome, 'gatehouse', 'logins.json')

  const read = async (): Promise<Login[]> => {
    const text = await readPrivateFile(path)
    if (text === undefined) return []
    try {
      return fileSchema.parse(JSON.parse(text)).logins
    } catch {
      throw new ConfigError([`${path} is damaged`], 'delete it, then login again')
    }
  }

  return {
    path,
    async change(issuer, decide) {
      const release = await waitForLock(`${path}.lock`)
      try {
        const logins = await read()
        const known = logins.find((login) => login.issuer === issuer)
        const { next, result } = await decide(known)
        if (next !== known) {
          const others = logins.filter((login) => login !== known)
          const kept = next === undefined ? others : [...others, next]
          await writePrivateFile(path, `${JSON.stringify({ logins: kept }, null, 2)}\n`)
        }
        return result
      } finally {
        release()
      }
    },
  }
}

async function waitForLock(path: string): Promise<() => void> {
  for (let waitedMs = 0; waitedMs < LOCK_WAIT_MS; waitedMs += LOCK_RETRY_MS) {
    const release = await tryFileLock(path)
    if (release !== undefined) return release
    await pause(LOCK_RETRY_MS)
  }
  throw new CliError('another command holds the login for too long', { hint: `see ${path}` })
}
