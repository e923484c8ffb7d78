import { hostname } from 'node:os'
import type { Config } from '../config/schema.ts'
import { epochSeconds } from '../kernel/clock.ts'
import { AppError } from '../kernel/errors.ts'
import { startVerifierReports } from '../keys/verifier-reporter.ts'
import { saveVerifier, type VerifierReport } from '../keys/verifiers.ts'
import type { LiveRevocations } from '../revocations/live-revocations.ts'
import type { Store } from '../store/store.ts'
import type { ClientTokenSource } from '../tokens/client-token.ts'
import type { RemoteJwks } from '../tokens/remote-jwks.ts'
import type { Surroundings } from './running.ts'
import { ownVersion } from './own-version.ts'

export type ReportSources = {
  jwks: RemoteJwks
  live: LiveRevocations | undefined
  /** Where reports go to if the proxy reaches it, else to the issuer with tokens of the proxy's own. */
  store: Store | undefined
  tokens: ClientTokenSource | undefined
  /** Its number, where several processes are one proxy. */
  worker?: number | undefined
}

const TIMEOUT_MS = 5000

/** Tells the operators which keys this proxy has and what it has heard of revocations, if there is a way to tell. */
export function reportAsVerifier(
  config: Config,
  { log, clock }: Surroundings,
  { jwks, live, store, tokens, worker }: ReportSources,
): { stop: () => void } {
  const send = senderOf(config, { log, clock }, { store, tokens })
  if (send === undefined) return { stop: () => undefined }
  let lastId = live?.entries().at(-1)?.id
  live?.onRevocation((news) => {
    lastId = news.at(-1)?.id ?? lastId
  })
  const version = ownVersion()
  const verifierId = verifierIdOf(config, worker)
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
  return startVerifierReports({ observe, send, log })
}

function senderOf(
  { issuer }: Config,
  { clock }: Surroundings,
  { store, tokens }: Pick<ReportSources, 'store' | 'tokens'>,
): ((report: VerifierReport) => Promise<void>) | undefined {
  if (store !== undefined) return (report) => saveVerifier(store, report, { clientId: null, clock })
  if (tokens === undefined) return undefined
  const post = async (report: VerifierReport) => {
    const { value } = await tokens.get()
    const { status } = await fetch(`${issuer.url}/revocations/verifiers`, {
      method: 'POST',
      redirect: 'error',
      headers: { authorization: `Bearer ${value}`, 'content-type': 'application/json' },
      body: JSON.stringify(report),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    if (status === 401) tokens.forget()
    return status
  }
  return async (report) => {
    let status = await post(report)
    // Our token may have been signed with the very key whose end we report.
    if (status === 401) status = await post(report)
    if (status === 204) return
    throw new AppError('temporarily_unavailable', `/revocations/verifiers answers ${status}`)
  }
}

/** The same after a restart; two proxies on one machine differ in the port. */
function verifierIdOf({ proxy }: Config, worker: number | undefined): string {
  const port = proxy.listen.slice(proxy.listen.lastIndexOf(':') + 1)
  const name = [hostname(), port, ...(worker === undefined ? [] : [worker])].join('-')
  return name.replace(/[^A-Za-z0-9._~-]/g, '-').slice(-150)
}
