import { spawnSync } from 'node:child_process'

type Command = readonly [program: string, ...args: string[]]

/** Programs that a package of Debian gives. `.ci/run` installs every one. */
export const DEBIAN_PACKAGES: ReadonlyMap<string, string> = new Map([
  ['haproxy', 'haproxy'],
  ['nginx', 'nginx'],
  ['openssl', 'openssl'],
  ['promtool', 'prometheus'],
  ['python3', 'python3-venv'],
  ['softhsm2-util', 'softhsm2'],
  ['sslscan', 'sslscan'],
  ['systemd-analyze', 'systemd'],
])

/** Whether a command succeeds here. Where REQUIRE_TOOLS is 1 (CI), one of Debian's has to. */
export function runsHere([program, ...args]: Command, env = process.env): boolean {
  if (spawnSync(program, args, { stdio: 'ignore', env }).status === 0) return true
  const debianPackage = DEBIAN_PACKAGES.get(program)
  if (env['REQUIRE_TOOLS'] === '1' && debianPackage !== undefined) {
    const command = [program, ...args].join(' ')
    throw new Error(`REQUIRE_TOOLS=1, but «${command}» fails here (Debian: ${debianPackage})`)
  }
  return false
}

/** The same, and says loudly what is not tried without it. */
export function hasTool(command: Command, untried: string): boolean {
  const found = runsHere(command)
  if (!found) console.warn(`!!! ${untried}: no «${command.join(' ')}» here !!!`)
  return found
}
