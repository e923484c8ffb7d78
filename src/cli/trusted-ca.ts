import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import type { Config } from '../config/schema.ts'
import type { Log } from '../kernel/log.ts'
import { certificatesIn } from '../kernel/pem-certificates.ts'
import { scheduleOnLoop, type Schedule } from '../kernel/schedule.ts'
import { readText, requireCertificates } from './tls-files.ts'
import { watchContents } from './watched-contents.ts'

/** Looks at new settings, with a ConfigError when their file is no good, and gives what takes it over. */
export type PrepareTrust = (next: Config) => () => void

/**
 * Makes this process trust the authorities of `trustedCa` beside those that Node knows, wherever it connects by TLS: to the
 * issuer, Redis and model servers. A ConfigError when the file is no good.
 */
export function trustCa(config: Config): void {
  const pem = readTrustedCa(config)
  if (pem !== undefined) trustBeside(getCACertificates('default'), pem)
}

/** The same, kept as the file is; once in a process. */
export function keepTrustedCa(
  config: Config,
  { log, schedule = scheduleOnLoop }: { log: Log; schedule?: Schedule },
): PrepareTrust {
  const initial = readTrustedCa(config)
  let current = config
  // Those of Node take a while to be had, and mostly nobody needs them.
  let known: readonly string[] | undefined

  function trust(pem = ''): void {
    known ??= getCACertificates('default')
    trustBeside(known, pem)
  }

  if (initial !== undefined) trust(initial)
  const contents = watchContents({
    initial,
    read: () => readFileOf(current),
    check: requireAuthorities,
    take(pem) {
      trust(pem)
      log.info({ event: 'trusted_ca.renewed' }, 'other authorities are trusted')
    },
    onRefused: (why) =>
      log.warn({ event: 'trusted_ca.refused' }, `the authorities before stay trusted: ${why}`),
    schedule,
  })
  contents.watch()
  return (next) => {
    const read = readTrustedCa(next)
    return () => {
      current = next
      contents.set(read)
    }
  }
}

/** A ConfigError when the file is no good. */
export function readTrustedCa(config: Config): string | undefined {
  const pem = readFileOf(config)
  requireAuthorities(pem)
  return pem
}

const readFileOf = ({ trustedCa }: Config): string | undefined =>
  trustedCa === undefined ? undefined : readText('trustedCa', trustedCa)

const requireAuthorities = (pem: string | undefined) => requireCertificates('trustedCa', pem)

function trustBeside(known: readonly string[], pem: string): void {
  setDefaultCACertificates([...known, ...certificatesIn(pem).map(String)])
}
