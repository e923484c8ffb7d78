import { rm } from 'node:fs/promises'
import { startProxy } from '../../src/cli/start-proxy.ts'
import type { Config } from '../../src/config/schema.ts'
import type { Clock } from '../../src/kernel/clock.ts'
import { createLog } from '../../src/kernel/log.ts'
import type { LiveRevocations } from '../../src/revocations/live-revocations.ts'
import { testConfig } from './gatehouse.ts'
import { startModelServer, type ModelServer } from './model-server.ts'
import { startTestIssuer, type TestIssuer } from './test-issuer.ts'
import { createMemoryFolder } from './memory-folder.ts'

export type LoneProxy = {
  config: Config
  url: string
  port: number
  issuer: TestIssuer
  model: ModelServer
  /** What the clock says, in milliseconds; a test sets it to travel. */
  time: { now: number }
  logged: Record<string, unknown>[]
  /** POSTs to the model's main route with that Authorization value. */
  call: (authorization?: string, init?: RequestInit, path?: string) => Promise<Response>
  close: (drainSeconds?: number) => Promise<void>
}

/** A proxy between an issuer and a model server that the test controls, under a clock of the test's own. */
export async function startLoneProxy(
  set: readonly string[] = [],
  revocationsOf?: (clock: Clock) => LiveRevocations,
): Promise<LoneProxy> {
  const dir = await createMemoryFolder()
  const time = { now: Date.now() }
  const clock = () => time.now
  const model = await startModelServer()
  const draft = await testConfig(dir, [
    `proxy.upstreams=${model.url}`,
    `revocations.feed=${revocationsOf === undefined ? 'off' : 'in_process'}`,
    ...set,
  ])
  const issuer = await startTestIssuer(draft.proxy.url, clock)
  const config: Config = { ...draft, issuer: { ...draft.issuer, url: issuer.url } }
  const logged: Record<string, unknown>[] = []
  const log = createLog('debug', {
    write: (line) => void logged.push(JSON.parse(line()) as Record<string, unknown>),
  })
  const revocations = revocationsOf?.(clock)
  const proxy = await startProxy(
    config,
    { log, clock },
    revocations && { revocations, store: undefined },
  )
  return {
    config,
    url: config.proxy.url,
    port: Number(new URL(config.proxy.url).port),
    issuer,
    model,
    time,
    logged,
    call(authorization, init = {}, path = '/v1/chat/completions') {
      const headers = new Headers(init.headers)
      if (authorization !== undefined) headers.set('authorization', authorization)
      return fetch(`${config.proxy.url}${path}`, { method: 'POST', body: '{}', ...init, headers })
    },
    async close(drainSeconds = 0) {
      await proxy.close(drainSeconds)
      await Promise.all([issuer.close(), model.close()])
      await rm(dir, { recursive: true })
    },
  }
}
