import { CommanderError } from 'commander'
import { ConfigError } from '../kernel/errors.ts'

export const EXIT = {
  failed: 1,
  usage: 64,
  unreachable: 69,
  bug: 70,
  configuration: 78,
} as const

export type CliErrorOptions = {
  hint?: string
  exitCode?: number
  isPassing?: boolean
  cause?: unknown
}

/** A command that cannot do what it was asked: says why, with what to do about it where that is known. */
export class CliError extends Error {
  readonly hint: string | undefined
  readonly exitCode: number
  /** The same may work in a moment. */
  readonly isPassing: boolean

  constructor(message: string, options: CliErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.name = 'CliError'
    this.hint = options.hint
    this.exitCode = options.exitCode ?? EXIT.failed
    this.isPassing = options.isPassing ?? false
  }
}

/** Writes `error: …` and, where there is one, `hint: …` on stderr. Gives the exit code. */
export function reportError(error: unknown, stderr: NodeJS.WritableStream): number {
  // Commander has written its own message by then.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage
  if (error instanceof ConfigError) {
    for (const problem of error.problems) stderr.write(`error: ${problem}\n`)
    if (error.hint !== undefined) stderr.write(`hint: ${error.hint}\n`)
    return EXIT.configuration
  }
  if (error instanceof CliError) {
    stderr.write(`error: ${error.message}\n`)
    if (error.hint !== undefined) stderr.write(`hint: ${error.hint}\n`)
    return error.exitCode
  }
  const stack = error instanceof Error ? error.stack : String(error)
  stderr.write(`error: this is a bug in Gatehouse, please report it\n${stack ?? ''}\n`)
  return EXIT.bug
}
