import { setTimeout as pause } from 'node:timers/promises'

/** Asks until the answer is yes, for what another process does in its own time. Throws when it is not in time. */
export async function waitUntil(
  what: string,
  isSo: () => Promise<boolean>,
  withinMs = 20_000,
): Promise<void> {
  const deadlineMs = performance.now() + withinMs
  while (!(await isSo().catch(() => false))) {
    if (performance.now() > deadlineMs) throw new Error(`not in time: ${what}`)
    await pause(25)
  }
}
