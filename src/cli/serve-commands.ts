import type { Command } from 'commander'
import { systemClock } from '../kernel/clock.ts'
import type { Config } from '../config/schema.ts'
import { isLoopbackHost, parseListenAddress } from '../kernel/listen-address.ts'
import { createLog } from '../kernel/log.ts'
import { CliError, EXIT } from './cli-error.ts'
import type { Running, Surroundings } from './running.ts'
import { createProgress } from './progress.ts'
import { reportBugs } from './report-bugs.ts'
import { createReload } from './reload.ts'
import { enterSandbox, type SandboxedRole } from './sandbox.ts'
import { untilStopped } from './signals.ts'
import { settingsOf, type LoadedConfig } from './settings-of.ts'
import { keepTrustedCa } from './trusted-ca.ts'

type Starter = (loaded: LoadedConfig, surroundings: Surroundings) => Promise<Running>

/** What serves is loaded only by the command that serves: it would triple the time that any other command takes to start. */
export function serveCommands(program: Command): void {
  const start = program.command('start').description('serve everything in one process')
  start.action((_options, command: Command) =>
    serve(command, async (...parts) => {
      const { startAll } = await import('./start.ts')
      return startAll(...parts)
    }),
  )

  program
    .command('issuer')
    .description('serve the token issuer alone')
    .action((_options, command: Command) =>
      serve(
        command,
        async ({ config }, around) => {
          const { startIssuer } = await import('./start-issuer.ts')
          const issuer = await startIssuer(config, around)
          process.stdout.write(whereabouts('issuer', config.issuer))
          return issuer
        },
        'issuer',
      ),
    )

  program
    .command('proxy')
    .description('serve the verifying proxy alone')
    .action((_options, command: Command) =>
      serve(
        command,
        async ({ config }, around) => {
          const proxy =
            config.proxy.workers > 1
              ? await (await import('./proxy-workers.ts')).startProxyWorkers(config, around)
              : await (await import('./start-proxy.ts')).startProxy(config, around)
          process.stdout.write(whereabouts('proxy', config.proxy))
          return proxy
        },
        'proxy',
      ),
    )

  program
    .command('bundled-ocr')
    .description('serve the OCR engine that runs on the CPU, for when there is no GPU')
    .option('--listen <host:port>', 'where', '127.0.0.1:8000')
    .option('--private-network', 'say that only the proxy reaches the network of --listen')
    .action((options: { listen: string; privateNetwork?: true }, command: Command) =>
      serve(command, async (_loaded, { log, clock }) => {
        const listen = parseListenAddress(options.listen)
        if (!isLoopbackHost(listen.host) && options.privateNetwork !== true) {
          throw new CliError(
            '--listen: the engine asks nobody for a token, so it stays on loopback',
            {
              hint: 'let others reach it through the proxy; where only the proxy is on that network, say --private-network',
              exitCode: EXIT.usage,
            },
          )
        }
        const progress = createProgress(process.stderr)
        const { startBundledOcr } = await import('../bundled-ocr/server.ts')
        const engine = await startBundledOcr({
          listen,
          log,
          clock,
          onProgress: ({ stage, fraction }) =>
            progress.update(`${stage} … ${Math.round(fraction * 100)} %`),
        })
        process.stdout.write(`The bundled OCR engine listens on http://${options.listen}\n`)
        await engine.ready
        progress.done()
        return { close: engine.close }
      }),
    )

  program
    .command('demo')
    .description('show the whole story on free ports in a temporary folder, then stop')
    .action(async () => {
      const { runDemo } = await import('./demo.ts')
      await runDemo(process.stdout)
    })
}

function whereabouts(role: string, { url, listen, opsListen }: Config['issuer' | 'proxy']): string {
  return `The ${role} of ${url} listens on ${listen}, for operators on ${opsListen}.\n`
}

/** Runs until SIGTERM or SIGINT, reloading at SIGHUP, then lets running requests finish; a second signal ends it at once. */
async function serve(command: Command, start: Starter, role?: SandboxedRole): Promise<void> {
  const loaded = settingsOf(command)
  if (role !== undefined) enterSandbox(role, loaded)
  const log = createLog(loaded.config.log.level)
  for (const warning of loaded.warnings) process.stderr.write(`warning: ${warning}\n`)
  reportBugs(log)
  let isReloadWanted = false
  let reload = (): void => {
    isReloadWanted = true
  }
  // Before anybody is told that it serves, and could stop it.
  const stopped = untilStopped(() => reload())
  const prepareTrust = keepTrustedCa(loaded.config, { log })
  const running = await Promise.race([start(loaded, { log, clock: systemClock }), stopped])
  if (typeof running === 'number') process.exit(running)
  const read = () => settingsOf(command)
  const prepareReload = (next: Config) => {
    const takes = [prepareTrust(next), running.prepareReload?.(next)]
    return () => takes.forEach((take) => take?.())
  }
  reload = createReload({ started: loaded.config, read, running: { prepareReload }, log })
  if (isReloadWanted) reload()
  await stopped
  log.info({ event: 'stopping' }, 'draining')
  await running.close(loaded.config.proxy.drainSeconds)
  await log.flush()
  process.exit(0)
}
