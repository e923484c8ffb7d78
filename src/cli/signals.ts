import { closeSync, openSync } from 'node:fs'

/**
 * Settles with SIGTERM or SIGINT; a second one ends the process at once. A SIGHUP meanwhile is a wish to reload, unless
 * it came because the terminal in which we run is gone.
 */
export function untilStopped(reload: () => void): Promise<void> {
  return new Promise((resolve) => {
    const hadTerminal = hasTerminal()
    process.on('SIGHUP', () => {
      if (hadTerminal && !hasTerminal()) resolve()
      else reload()
    })
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(128 + (signal === 'SIGINT' ? 2 : 15)))
        resolve()
      })
    }
  })
}

/** Whether there is a terminal that can send us a hangup. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false
  }
}
