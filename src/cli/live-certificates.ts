import type { Config } from '../config/schema.ts'
import type { Clock } from '../kernel/clock.ts'
import type { HttpServer } from '../kernel/http-server.ts'
import type { Log } from '../kernel/log.ts'
import type { CheckResult } from '../kernel/ops-server.ts'
import { certificatesIn } from '../kernel/pem-certificates.ts'
import { scheduleOnLoop, type Schedule } from '../kernel/schedule.ts'
import { listenerOf, type Listener } from './listener.ts'
import { readTlsFiles, requireUsable, type Role, type TlsContents } from './tls-files.ts'
import { watchContents } from './watched-contents.ts'

const DAY_MS = 86_400_000
/** When a certificate is said to be about to expire: so long before, or the last fifth of one that lives shorter. */
const NOTICE_MS = 14 * DAY_MS
const NOTICE_SHARE = 0.2

export type LiveCertificates = {
  role: Role
  /** How the role listens at first. */
  listener: Listener
  /** The authorities of client certificates as they are now, in PEM. */
  clientCa: () => string | undefined
  /** When what is shown ceases to be good; undefined without TLS of its own. */
  expiresAtMs: () => number | undefined
  /** From now on that server speaks with what is in the files; they are looked at until `stop`. */
  show: (server: HttpServer) => void
  /** Looks at new settings, with a ConfigError when their files are no good, and gives what takes them over. */
  prepare: (next: Config) => () => void
  readiness: () => CheckResult
  stop: () => void
}

export type LiveCertificatesOptions = {
  config: Config
  role: Role
  log: Log
  clock: Clock
  schedule?: Schedule
}

/**
 * What a role shows and trusts in TLS, kept as its files are. What cannot be used (half written, no pair, gone) changes nothing
 * and is said in the log once. A ConfigError as `listenerOf` has it.
 */
export function openCertificates(options: LiveCertificatesOptions): LiveCertificates {
  const { role, log, clock, schedule = scheduleOnLoop } = options
  const name = `${role}.listen`
  let config = options.config
  const initial = readTlsFiles(config, role)
  const listener = listenerOf(config, role, initial)
  let validity = validityOf(initial)
  let server: HttpServer | undefined
  let saidAtMs = -Infinity

  const contents = watchContents<TlsContents>({
    initial,
    read: () => readTlsFiles(config, role),
    check: (next) => requireUsable(role, next),
    take({ pair, clientCa }) {
      validity = validityOf({ pair, clientCa })
      saidAtMs = -Infinity
      if (pair !== undefined) server?.renewTls({ ...pair, clientCa })
      log.info({ event: 'certificate.renewed', listener: name }, describe(validity))
    },
    onRefused(why) {
      const text = `what was there before stays in use: ${why}`
      log.warn({ event: 'certificate.refused', listener: name }, text)
    },
    onLooked() {
      if (!isExpiring(validity, clock()) || clock() - saidAtMs < DAY_MS) return
      saidAtMs = clock()
      log.warn({ event: 'certificate.expiring', listener: name }, describe(validity))
    },
    schedule,
  })

  return {
    role,
    listener,
    clientCa: () => contents.current().clientCa,
    expiresAtMs: () => validity?.toMs,
    show(started) {
      server = started
      contents.watch()
    },
    prepare(next) {
      const taken = withRenewable(config, next, role)
      const read = readTlsFiles(taken, role)
      requireUsable(role, read)
      return () => {
        config = taken
        contents.set(read)
      }
    },
    readiness() {
      const refused = contents.refused()
      if (refused === undefined && !isExpiring(validity, clock())) return { status: 'ok' }
      const detail = [...(refused === undefined ? [] : [refused]), describe(validity)].join('; ')
      // Callers who check nothing still come through: to be taken out would make an outage of it for all.
      return { status: 'ok', detail }
    },
    stop: contents.stop,
  }
}

/** A listener with TLS changes its files; none begins or ends to have TLS, or to ask for certificates. */
export function withRenewable(current: Config, next: Config, role: Role): Config {
  const { cert, key, clientCa } = next[role].tls
  const { tls } = current[role]
  const hasPair = tls.cert !== undefined && cert !== undefined && key !== undefined
  const hasCa = tls.clientCa !== undefined && clientCa !== undefined
  const renewed = { ...tls, ...(hasPair && { cert, key }), ...(hasCa && { clientCa }) }
  return { ...current, [role]: { ...current[role], tls: renewed } }
}

type Validity = { fromMs: number; toMs: number }

/** A chain is good for as long as all of it is. */
function validityOf({ pair }: TlsContents): Validity | undefined {
  if (pair === undefined) return undefined
  const chain = certificatesIn(pair.cert)
  return {
    fromMs: Math.max(...chain.map(({ validFromDate }) => validFromDate.getTime())),
    toMs: Math.min(...chain.map(({ validToDate }) => validToDate.getTime())),
  }
}

function isExpiring(validity: Validity | undefined, now: number): boolean {
  if (validity === undefined) return false
  const { fromMs, toMs } = validity
  return toMs - now < Math.min(NOTICE_MS, (toMs - fromMs) * NOTICE_SHARE)
}

const describe = (validity: Validity | undefined): string =>
  validity === undefined
    ? 'client certificates are checked with other authorities'
    : `the certificate is good until ${new Date(validity.toMs).toISOString()}`
