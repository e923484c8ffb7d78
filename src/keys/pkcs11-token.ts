import type pkcs11 from 'pkcs11js'
import { AppError, ConfigError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { firstLineOf, type Pkcs11 } from './pkcs11-module.ts'

export type Pkcs11Settings = {
  /** Path of the token's PKCS#11 library. */
  module: string
  tokenLabel: string
  pin: string
}

export type Session = {
  lib: pkcs11.PKCS11
  handle: pkcs11.Handle
  /** The private keys that were found through it, by what the ring calls them. */
  keys: Map<string, pkcs11.Handle>
}

/** A token that is logged in to. */
export type Pkcs11Token = {
  /**
   * Gives the work a session of its own, as a session does one thing at a time. When it fails, the token is opened again
   * and the work repeated, once; after that it is an AppError `temporarily_unavailable`.
   */
  withSession: <T>(work: (session: Session) => Promise<T>) => Promise<T>
  close: () => Promise<void>
}

/** Each with the end of what it is doing. */
type Line = Session & { end: Promise<unknown> }

/** As many as libuv has threads, on which the token works. */
const SESSIONS = 4

const CKR_NOT_INITIALIZED = 0x190
const CKR_ALREADY_INITIALIZED = 0x191
const CKR_ALREADY_LOGGED_IN = 0x100
/** Incorrect, invalid, of a wrong length, expired, locked. */
const CKR_OF_THE_PIN = new Set([0xa0, 0xa1, 0xa2, 0xa3, 0xa4])

/** A ConfigError when the library, the token or the PIN is not right. */
export function openPkcs11Token(names: Pkcs11, settings: Pkcs11Settings, log: Log): Pkcs11Token {
  const lib = new names.PKCS11()
  try {
    lib.load(settings.module)
  } catch (error) {
    throw new ConfigError([`keys.pkcs11.module: cannot be loaded (${firstLineOf(error)})`])
  }
  let refusedPin: ConfigError | undefined
  let isClosed = false
  let lines = Promise.resolve(connectAtStart())
  let turn = 0

  function connectAtStart(): readonly Line[] {
    try {
      return connect()
    } catch (error) {
      if (error instanceof ConfigError) throw error
      throw new ConfigError([`keys.pkcs11: the token cannot be opened (${firstLineOf(error)})`])
    }
  }

  function connect(): readonly Line[] {
    // A token locks itself after some wrong PINs, so one is never tried twice.
    if (refusedPin !== undefined) throw refusedPin
    unless(CKR_ALREADY_INITIALIZED, () => lib.C_Initialize({ flags: names.CKF_OS_LOCKING_OK }))
    const slot = lib
      .C_GetSlotList(true)
      .find((each) => lib.C_GetTokenInfo(each).label.trim() === settings.tokenLabel)
    if (slot === undefined) {
      throw new ConfigError([`keys.pkcs11.tokenLabel: there is no token ${settings.tokenLabel}`])
    }
    const open = () => lib.C_OpenSession(slot, names.CKF_SERIAL_SESSION | names.CKF_RW_SESSION)
    const first = open()
    try {
      unless(CKR_ALREADY_LOGGED_IN, () => lib.C_Login(first, names.CKU_USER, settings.pin))
    } catch (error) {
      if (!CKR_OF_THE_PIN.has(codeOf(error))) throw error
      refusedPin = new ConfigError([
        `keys.pkcs11.pin: the token refuses it (${firstLineOf(error)})`,
      ])
      throw refusedPin
    }
    const handles = [first, ...Array.from({ length: SESSIONS - 1 }, open)]
    return handles.map((handle) => ({ lib, handle, keys: new Map(), end: Promise.resolve() }))
  }

  /** The library as a whole: some notice a token that has come back only then. Nothing may be under way in it. */
  async function reopen(used: readonly Line[]): Promise<readonly Line[]> {
    await Promise.all(used.map(({ end }) => end))
    unless(CKR_NOT_INITIALIZED, () => lib.C_Finalize())
    return connect()
  }

  async function attempt<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const offered = lines
    let used: readonly Line[] = []
    try {
      used = await offered
      const line = used[(turn += 1) % used.length]
      if (line === undefined) throw new Error('no session')
      const result = line.end.then(() => work(line))
      line.end = result.catch(() => undefined)
      return await result
    } catch (error) {
      // Whoever fails first opens it again, for all.
      if (lines === offered && !isClosed) {
        lines = reopen(used)
        // Told to whoever asks next.
        lines.catch(() => undefined)
      }
      throw error
    }
  }

  return {
    async withSession(work) {
      try {
        return await attempt(work).catch(() => attempt(work))
      } catch (cause) {
        log.error({ event: 'keys.home_failed', err: cause }, 'the PKCS#11 token does not work')
        throw new AppError('temporarily_unavailable', 'Nothing can be signed right now.', {
          reason: 'key_home_unavailable',
          headers: { 'retry-after': '1' },
          cause,
        })
      }
    },
    async close() {
      isClosed = true
      for (const { end, handle } of await lines.catch(() => [])) {
        await end
        try {
          lib.C_CloseSession(handle)
        } catch {
          // It is over already: the token is away, or somebody else here has opened the library anew.
        }
      }
    },
  }
}

/** Tolerates one error that means that it is so already. */
function unless(code: number, action: () => void): void {
  try {
    action()
  } catch (error) {
    if (codeOf(error) !== code) throw error
  }
}

function codeOf(error: unknown): number {
  return error instanceof Error && 'code' in error && typeof error.code === 'number'
    ? error.code
    : 0
}
