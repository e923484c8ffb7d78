import type { Log } from '../kernel/log.ts'
import { EXIT } from './cli-error.ts'

/** A promise that nobody awaited must not take everybody's requests down with it; an exception leaves no choice. */
export function reportBugs(log: Log): void {
  process.on('unhandledRejection', (error) =>
    log.error({ event: 'bug', err: error }, 'unhandled rejection'),
  )
  process.on('uncaughtException', (error) => {
    log.error({ event: 'bug', err: error }, 'uncaught exception')
    void log.flush().finally(() => process.exit(EXIT.bug))
  })
}
