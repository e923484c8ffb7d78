import { createIsoTime, systemClock } from './clock.ts'
import { AppError, ConfigError } from './errors.ts'
import { createLineBatch, type LineDestination } from './line-batch.ts'

/** Every field that a log line may have. What is not named here never reaches the log, whoever passes it in. */
type FieldName =
  | 'event'
  | 'request_id'
  | 'decision'
  | 'reason'
  | 'tenant_id'
  | 'client_id'
  | 'sub'
  | 'jti'
  | 'kid'
  | 'remote_addr'
  | 'target'
  | 'method'
  | 'route'
  | 'status'
  | 'grant_type'
  | 'upstream'
  | 'duration_ms'
  | 'listener'
  | 'url'
  | 'writer'
  | 'seq'
  | 'hash'

export type LogFields = { [field in FieldName]?: string | number | undefined } & { err?: unknown }

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export type Log = {
  [level in 'debug' | 'info' | 'warn' | 'error']: (fields: LogFields, message: string) => void
} & {
  /** From now on. */
  setLevel: (level: LogLevel) => void
  /** Takes whole lines that another process of ours has formatted. */
  relay: (lines: string) => void
  /** Writes out what is still buffered. */
  flush: () => Promise<void>
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const
type LineLevel = (typeof LEVELS)[number]

/**
 * A JSON-lines log of allowlisted fields on stderr, written in batches at most 200 ms late.
 * `time` is RFC 3339 in UTC, durations are in milliseconds.
 */
export function createLog(level: LogLevel, destination: LineDestination = createLineBatch()): Log {
  let lowest = rankOf(level)
  const isoTime = createIsoTime(systemClock)
  const logAt = (name: LineLevel): Log[LineLevel] => {
    const rank = rankOf(name)
    return (fields, message) => {
      if (rank < lowest) return
      const err = fields.err === undefined ? undefined : describeError(fields.err)
      const said = { level: name, time: isoTime(), message, err }
      destination.write(() => formatLine(said, fields))
    }
  }
  return {
    debug: logAt('debug'),
    info: logAt('info'),
    warn: logAt('warn'),
    error: logAt('error'),
    setLevel: (wanted) => void (lowest = rankOf(wanted)),
    relay: (lines) => destination.write(() => lines),
    flush: async () => destination.flush?.(),
  }
}

const rankOf = (level: LogLevel): number =>
  level === 'silent' ? LEVELS.length : LEVELS.indexOf(level)

/** Of a line, what is known at once: an error may be another later, and what fails of describing it fails who logs it. */
type Said = {
  level: LineLevel
  time: string
  message: string
  err: Record<string, unknown> | undefined
}

type LineKey = keyof LogFields | 'level' | 'time' | 'message'

/** Spelt out, so that every line is an object of one shape: the log was a sixth of the proxy's CPU time (bench/). */
function formatLine({ level, time, message, err }: Said, fields: LogFields): string {
  const line = JSON.stringify({
    level,
    time,
    event: fields.event,
    request_id: fields.request_id,
    decision: fields.decision,
    reason: fields.reason,
    tenant_id: fields.tenant_id,
    client_id: fields.client_id,
    sub: fields.sub,
    jti: fields.jti,
    kid: fields.kid,
    remote_addr: fields.remote_addr,
    target: fields.target,
    method: fields.method,
    route: fields.route,
    status: fields.status,
    grant_type: fields.grant_type,
    upstream: fields.upstream,
    duration_ms: fields.duration_ms,
    listener: fields.listener,
    url: fields.url,
    writer: fields.writer,
    seq: fields.seq,
    hash: fields.hash,
    err,
    message,
  } satisfies Record<LineKey, unknown>)
  return `${line}\n`
}

/** How far a chain of causes is followed; one may be its own cause. */
const MAX_CAUSES = 4

/** Codes of the operating system, of TLS, of `fetch` and of exchanges with model servers: their messages name addresses and paths, never content. */
const SYSTEM_CODE = /^(?:E[A-Z0-9]+|ERR_TLS_\w+|\w*CERT\w*|UND_ERR_\w+|UPSTREAM_\w+)$/

/**
 * What of an error is safe to keep. A message is only kept from our own errors and from system errors: a parser's
 * message quotes its input, which may be somebody's document.
 */
function describeError(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const isOurs = error instanceof AppError || error instanceof ConfigError
  const isSystem = SYSTEM_CODE.test(code ?? '')
  return {
    type: error.name,
    ...(code === undefined ? {} : { code }),
    // What was meant to happen needs no stack; what was not, needs nothing more.
    ...(isOurs || isSystem ? { message: error.message } : { stack: framesOf(error) }),
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
