import type { Config } from '../config/schema.ts'
import { epochSeconds } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import type { ReadinessChecks } from '../kernel/ops-server.ts'
import { startPeriodicReports } from '../kernel/periodic-reports.ts'
import { saveVerifier, type VerifierReport } from '../keys/verifiers.ts'
import type { LiveRevocations } from '../revocations/live-revocations.ts'
import { saveInstance, type InstanceReport } from '../store/instances.ts'
import type { Store } from '../store/store.ts'
import type { ClientTokenSource } from '../tokens/client-token.ts'
import type { RemoteJwks } from '../tokens/remote-jwks.ts'
import { isUsable } from '../proxy/upstream.ts'
import type { Upstreams } from '../proxy/upstreams.ts'
import { instanceIdOf, reportAsInstance } from './instance-reports.ts'
import type { Surroundings } from './running.ts'
import { ownVersion } from './own-version.ts'

export type ReportSources = {
  jwks: RemoteJwks
  live: LiveRevocations | undefined
  /** Where reports go to if the proxy reaches it, else to the issuer with tokens of the proxy's own. */
  store: Store | undefined
  tokens: ClientTokenSource | undefined
  readiness: ReadinessChecks
  upstreams: Pick<Upstreams, 'all'>
  /** Its number, where several processes are one proxy. */
  worker?: number | undefined
}

const TIMEOUT_MS = 5000

/** Tells the operators how this proxy is, which keys it has and what it has heard of revocations, if there is a way to tell. */
export function reportToOperators(
  config: Config,
  { log, clock }: Surroundings,
  { jwks, live, store, tokens, readiness, upstreams, worker }: ReportSources,
): { stop: () => void } {
  const sender = senderOf(config, { log, clock }, { store, tokens })
  if (sender === undefined) return { stop: () => undefined }
  let lastId = live?.entries().at(-1)?.id
  live?.onRevocation((news) => {
    lastId = news.at(-1)?.id ?? lastId
  })
  const version = ownVersion()
  const verifierId = instanceIdOf(config.proxy.listen, worker)
  const observe = (): VerifierReport => {
    const published = jwks.published()
    const staleness = live?.stalenessSeconds() ?? Infinity
    return {
      verifier_id: verifierId,
      version,
      kids: published?.jwks.map(({ kid }) => kid) ?? [],
      keys_fetched_at: published === undefined ? null : Math.floor(published.fetchedAtMs / 1000),
      revocation_id: lastId ?? null,
      revocations_heard_at:
        staleness === Infinity ? null : Math.floor(epochSeconds(clock) - staleness),
    }
  }
  const asVerifier = startPeriodicReports({
    observe,
    stateOf: ({ kids, revocation_id: id }) => [kids, id],
    send: sender.verifier,
    onFailure: (error) =>
      log.warn({ event: 'verifier.unreported', err: error }, 'the issuer does not know our keys'),
  })
  const asInstance = reportAsInstance(
    {
      role: 'proxy',
      listen: config.proxy.listen,
      worker,
      readiness,
      upstreams: () => upstreams.all.map((each) => ({ url: each.url, usable: isUsable(each) })),
      send: sender.instance,
    },
    { log, clock },
  )
  return {
    stop() {
      asVerifier.stop()
      asInstance.stop()
    },
  }
}

type Sender = {
  verifier: (report: VerifierReport) => Promise<void>
  instance: (report: InstanceReport) => Promise<void>
}

function senderOf(
  { issuer }: Config,
  { clock }: Surroundings,
  { store, tokens }: Pick<ReportSources, 'store' | 'tokens'>,
): Sender | undefined {
  if (store !== undefined) {
    return {
      verifier: (report) => saveVerifier(store, report, { clientId: null, clock }),
      instance: (report) => saveInstance(store, report, { clientId: null, clock }),
    }
  }
  if (tokens === undefined) return undefined
  const post = async (path: string, report: object) => {
    const { value } = await tokens.get()
    const { status } = await fetch(`${issuer.url}${path}`, {
      method: 'POST',
      redirect: 'error',
      headers: { authorization: `Bearer ${value}`, 'content-type': 'application/json' },
      body: JSON.stringify(report),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    if (status === 401) tokens.forget()
    return status
  }
  const tell = async (path: string, report: object) => {
    let status = await post(path, report)
    // Our token may have been signed with the very key whose end we report.
    if (status === 401) status = await post(path, report)
    if (status === 204) return
    throw new AppError('temporarily_unavailable', `${path} answers ${status}`)
  }
  return {
    verifier: (report) => tell('/revocations/verifiers', report),
    instance: (report) => tell('/revocations/instances', report),
  }
}
