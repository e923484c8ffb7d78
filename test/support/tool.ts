import { spawnSync } from 'node:child_process'

/** Whether a program runs here; if not, says loudly what is not tried without it. */
export function hasTool(command: readonly [string, ...string[]], untried: string): boolean {
  const [program, ...args] = command
  const found = spawnSync(program, args, { stdio: 'ignore' }).status === 0
  if (!found) console.warn(`!!! ${untried}: no «${command.join(' ')}» here !!!`)
  return found
}
