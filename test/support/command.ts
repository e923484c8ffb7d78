import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export type Finished = { code: number | null; stdout: string; stderr: string }

/** Starts the command line as a user does, with no setting from this machine's environment. */
export function startCommand(
  args: readonly string[],
  env: Record<string, string> = {},
  main = MAIN,
) {
  const child: ChildProcess = spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout?.on('data', (chunk) => (output.stdout += String(chunk)))
  child.stderr?.on('data', (chunk) => (output.stderr += String(chunk)))
  const finished = new Promise<Finished>((resolve) => {
    child.on('close', (code) => resolve({ code, ...output }))
  })
  return { child, output, finished }
}

/** Runs it to its end, with that text on standard input. */
export function runCommand(
  args: readonly string[],
  env: Record<string, string> = {},
  input = '',
): Promise<Finished> {
  const { child, finished } = startCommand(args, env)
  child.stdin?.end(input)
  return finished
}
