import { pino, type DestinationStream } from 'pino'
import { AppError, ConfigError } from './errors.ts'

/** Every field that a log line may have. What is not named here never reaches the log, whoever passes it in. */
const FIELDS = [
  'event',
  'request_id',
  'decision',
  'reason',
  'tenant_id',
  'client_id',
  'sub',
  'jti',
  'kid',
  'remote_addr',
  'method',
  'route',
  'status',
  'grant_type',
  'upstream',
  'bytes_in',
  'bytes_out',
  'duration_ms',
  'listener',
  'url',
  'version',
] as const

export type LogFields = { [field in (typeof FIELDS)[number]]?: string | number | undefined } & {
  err?: unknown
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export type Log = {
  [level in 'debug' | 'info' | 'warn' | 'error']: (fields: LogFields, message: string) => void
} & {
  /** Writes out what is still buffered. */
  flush: () => Promise<void>
}

/**
 * A JSON-lines log of allowlisted fields on stderr, written in batches at most 200 ms late.
 * `time` is RFC 3339 in UTC, durations are in milliseconds.
 */
export function createLog(level: LogLevel, destination?: DestinationStream): Log {
  const logger = pino(
    {
      level,
      base: null,
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => describeError(error) },
    },
    destination ?? pino.destination({ dest: 2, sync: false, minLength: 4096, periodicFlush: 200 }),
  )
  return {
    debug: (fields, message) => logger.debug(pickFields(fields), message),
    info: (fields, message) => logger.info(pickFields(fields), message),
    warn: (fields, message) => logger.warn(pickFields(fields), message),
    error: (fields, message) => logger.error(pickFields(fields), message),
    flush: () => new Promise((resolve) => logger.flush(() => resolve())),
  }
}

function pickFields(fields: LogFields): Record<string, unknown> {
  const picked: Record<string, unknown> = {}
  for (const field of FIELDS) {
    const value = fields[field]
    if (value !== undefined) picked[field] = value
  }
  if (fields.err !== undefined) picked['err'] = fields.err
  return picked
}

/** How far a chain of causes is followed; one may be its own cause. */
const MAX_CAUSES = 4

/** Codes of the operating system, of TLS and of undici: their messages name addresses and paths, never content. */
const SYSTEM_CODE = /^(?:E[A-Z0-9]+|ERR_TLS_\w+|\w*CERT\w*|UND_ERR_\w+)$/

/**
 * What of an error is safe to keep. A message is only kept from our own errors and from system errors: a parser's
 * message quotes its input, which may be somebody's document.
 */
function describeError(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const isOurs = error instanceof AppError || error instanceof ConfigError
  return {
    type: error.name,
    ...(code === undefined ? {} : { code }),
    ...(isOurs || SYSTEM_CODE.test(code ?? '') ? { message: error.message } : {}),
    stack: framesOf(error),
    ...(error.cause === undefined || depth >= MAX_CAUSES
      ? {}
      : { cause: describeError(error.cause, depth + 1) }),
  }
}

/** The frames of the stack without the message before them, whose lines may look like frames. */
function framesOf({ stack = '', message }: Error): string[] {
  const messageAt = stack.indexOf(message)
  if (messageAt === -1) return []
  const frames = stack.slice(messageAt + message.length).split('\n')
  return frames.filter((line) => line.startsWith('    at '))
}
