import { createLog, type Log, type LogLevel } from '../../src/kernel/log.ts'

/** A log that keeps every line, as it was written. */
export function createTestLog(level: LogLevel = 'debug'): { log: Log; lines: string[] } {
  const lines: string[] = []
  return { log: createLog(level, { write: (line) => void lines.push(line()) }), lines }
}
