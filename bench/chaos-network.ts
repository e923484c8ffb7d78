import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { join } from 'node:path'

/** Something with an address on the bridge. */
export type Host = { name: string; address: string }

/** A network namespace with one process in it. */
export type Machine = Host & {
  /** Starts its process, or starts it again. */
  start: () => Promise<void>
  kill: (signal?: 'SIGKILL' | 'SIGTERM') => Promise<void>
  pause: () => void
  resume: () => void
}

export type Program = {
  /** Gets the address of its machine. */
  command: (address: string) => readonly string[]
  env?: (address: string) => Readonly<Record<string, string>>
}

export type Network = {
  /** This process. */
  clients: Host
  add: (name: string, program: Program) => Machine
  /** Nothing passes between these two any more, and neither is told. */
  cut: (one: Host, other: Host) => void
  mend: (one: Host, other: Host) => void
}

type Place = { hardware: string; device: string; enter: readonly string[] }

const SUBNET = '10.77.0'
const hardwareOf = (number: number) => `02:67:68:00:00:${number.toString(16).padStart(2, '0')}`
/** Where nobody is: the bridge drops what goes there, and the sender waits for an answer. */
const NOWHERE = hardwareOf(255)
const FIRST_NUMBER = 11
const RESTART_AFTER_MS = 1000
const DIE_WITH_US = ['setpriv', '--pdeathsig', 'KILL']

/** Machines on a bridge. This process must be in a network namespace of its own, as all of it ends with that. */
export function openNetwork(dir: string): Network {
  run(['ip', 'link', 'set', 'lo', 'up'])
  run(['ip', 'link', 'add', 'bridge', 'address', hardwareOf(1), 'type', 'bridge'])
  run(['ip', 'addr', 'add', `${SUBNET}.1/24`, 'dev', 'bridge'])
  run(['ip', 'link', 'set', 'bridge', 'up'])
  const clients: Host = { name: 'clients', address: `${SUBNET}.1` }
  const places = new Map<Host, Place>([
    [clients, { hardware: hardwareOf(1), device: 'bridge', enter: [] }],
  ])

  const placeOf = (host: Host): Place => {
    const place = places.get(host)
    if (place === undefined) throw new Error(`${host.name} is not on this network`)
    return place
  }
  /** Written down for good, or the kernel would ask around, and say after a while that nobody is there. */
  const point = (from: Host, to: Host, hardware: string) => {
    const { enter, device } = placeOf(from)
    const neighbour = [to.address, 'lladdr', hardware, 'dev', device, 'nud', 'permanent']
    run([...enter, 'ip', 'neigh', 'replace', ...neighbour])
  }

  return {
    clients,
    add(name, program) {
      const number = FIRST_NUMBER + places.size - 1
      const machine = createMachine({ name, address: `${SUBNET}.${number}` }, program, {
        logFile: join(dir, `${name}.log`),
        enter: openNamespace(number),
      })
      const { enter, ...known } = machine
      places.set(known, { hardware: hardwareOf(number), device: 'eth0', enter })
      return known
    },
    cut(one, other) {
      point(one, other, NOWHERE)
      point(other, one, NOWHERE)
    },
    mend(one, other) {
      point(one, other, placeOf(other).hardware)
      point(other, one, placeOf(one).hardware)
    },
  }
}

/** Makes it, and a wire from it to the bridge. Gives the command that runs another one in it. */
function openNamespace(number: number): readonly string[] {
  const { pid } = spawn('unshare', ['--net', ...DIE_WITH_US, 'sleep', 'infinity'])
  const ours = run(['readlink', '/proc/self/ns/net'])
  while (run(['readlink', `/proc/${pid}/ns/net`]) === ours);
  const enter = ['nsenter', `--net=/proc/${pid}/ns/net`]
  run(['ip', 'link', 'add', `to-${number}`, 'type', 'veth', 'peer', 'eth0', 'netns', String(pid)])
  run(['ip', 'link', 'set', `to-${number}`, 'master', 'bridge', 'up'])
  run([...enter, 'ip', 'link', 'set', 'lo', 'up'])
  run([...enter, 'ip', 'link', 'set', 'eth0', 'address', hardwareOf(number), 'up'])
  run([...enter, 'ip', 'addr', 'add', `${SUBNET}.${number}/24`, 'dev', 'eth0'])
  return enter
}

function createMachine(
  host: Host,
  { command, env = () => ({}) }: Program,
  { logFile, enter }: { logFile: string; enter: readonly string[] },
): Machine & { enter: readonly string[] } {
  const log = openSync(logFile, 'a')
  let child: ChildProcess | undefined
  let isWanted = false
  const start = async () => {
    isWanted = true
    const [program = '', ...args] = [...enter, ...DIE_WITH_US, ...command(host.address)]
    child = spawn(program, args, {
      env: { ...process.env, ...env(host.address) },
      stdio: ['ignore', log, log],
    })
    // As whatever supervises it in production would do.
    child.once('exit', () => {
      if (isWanted) setTimeout(() => void start(), RESTART_AFTER_MS)
    })
    await once(child, 'spawn')
  }
  return {
    ...host,
    enter,
    start,
    async kill(signal = 'SIGKILL') {
      isWanted = false
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill(signal)
      await exited
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
  }
}

function run([program = '', ...args]: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8' })
}
