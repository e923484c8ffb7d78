import { closeSync, openSync } from 'node:fs'
import { constants } from 'node:os'

/**
 * Settles with SIGTERM or SIGINT; a second one ends the process at once. A SIGHUP meanwhile is a wish to reload, unless
 * it came because the terminal in which we run is gone. Gives the exit code of what the signal ends.
 */
export function untilStopped(reload: () => void): Promise<number> {
  return new Promise((resolve) => {
    const hadTerminal = hasTerminal()
    process.on('SIGHUP', () => {
      if (hadTerminal && !hasTerminal()) resolve(exitCodeOf('SIGHUP'))
      else reload()
    })
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(exitCodeOf(signal)))
        resolve(exitCodeOf(signal))
      })
    }
  })
}

const exitCodeOf = (signal: 'SIGHUP' | 'SIGINT' | 'SIGTERM'): number =>
  128 + constants.signals[signal]

/** Whether there is a terminal that can send us a hangup. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false
  }
}
