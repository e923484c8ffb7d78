import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { openSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** What is measured has this core to itself; load generator and backend share the other. */
export const SERVER_CORE = 0
export const LOAD_CORE = 1

export type StartOptions = { core: number | '0,1'; env?: Readonly<Record<string, string>> }

export type Lab = {
  dir: string
  /** Starts a program pinned to a core, its output in `<name>.log` of the folder; answers its process id. */
  start: (name: string, command: readonly string[], options: StartOptions) => number
  /** Ends every process that was started, and removes the folder. */
  close: () => Promise<void>
}

const STOP_WITHIN_MS = 5000

/** A temporary folder, and the processes that live as long as it does. */
export async function openLab(): Promise<Lab> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-bench-'))
  const children: ChildProcess[] = []
  let isClosing = false
  // Also when the benchmark itself dies, of a closed pipe for instance.
  process.once('exit', () => {
    for (const child of children) child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })
  return {
    dir,
    start(name, command, { core, env = {} }) {
      const logFile = join(dir, `${name}.log`)
      const log = openSync(logFile, 'a')
      const child = spawn('taskset', ['--cpu-list', String(core), ...command], {
        env: { PATH: process.env['PATH'], HOME: dir, ...env },
        stdio: ['ignore', log, log],
      })
      children.push(child)
      child.once('exit', () => {
        if (!isClosing)
          process.stderr.write(`${name} has ended:\n${readFileSync(logFile, 'utf8')}\n`)
      })
      if (child.pid === undefined) throw new Error(`${name} did not start`)
      return child.pid
    },
    async close() {
      isClosing = true
      await Promise.all(children.map(stop))
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const deadline = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS)
  await exited
  clearTimeout(deadline)
}

/** Runs a benchmark in a lab of its own, which is cleared away also when it fails or is interrupted. */
export async function inLab(benchmark: (lab: Lab) => Promise<void>): Promise<void> {
  const problem = findProblem()
  if (problem !== undefined) {
    process.stderr.write(`${problem}\n`)
    process.exitCode = 1
    return
  }
  const lab = await openLab()
  const interrupt = () => void lab.close().finally(() => process.exit(130))
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  try {
    await benchmark(lab)
  } finally {
    await lab.close()
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
  }
}

/** The Debian package of every program that is needed. */
const PACKAGES = { haproxy: 'haproxy', nginx: 'nginx', wrk: 'wrk', taskset: 'util-linux' }

function findProblem(): string | undefined {
  if (availableParallelism() < 2) return 'The benchmarks need two cores.'
  const missing = Object.entries(PACKAGES).filter(([program]) => !isInstalled(program))
  if (missing.length === 0) return undefined
  const names = missing.map(([program]) => program).join(', ')
  const packages = missing.map(([, name]) => name).join(' ')
  return `The benchmarks need ${names}. On Debian: sudo apt-get install ${packages}`
}

function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const READY_WITHIN_MS = 15_000

/** Waits until a GET is answered as expected: by default with anything at all. */
export async function waitFor(url: string, isReady: (status: number) => boolean = () => true) {
  const deadlineMs = performance.now() + READY_WITHIN_MS
  while (performance.now() < deadlineMs) {
    const status = await fetch(url).then(
      (response) => response.status,
      () => undefined,
    )
    if (status !== undefined && isReady(status)) return
    await delay(50)
  }
  throw new Error(`${url} was not ready within ${READY_WITHIN_MS / 1000} s`)
}
