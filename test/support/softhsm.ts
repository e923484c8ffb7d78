import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runsHere } from './tool.ts'

const PIN = '1234-user'
const LABEL = 'gatehouse-test'
const MODULES = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib64/pkcs11/libsofthsm2.so']

/** A fresh SoftHSM token: a PKCS#11 token in files. */
export type SoftHsm = {
  settings: { module: string; tokenLabel: string; pin: string }
  /** The same for an issuer, and what a process of its own needs in its environment. */
  set: string[]
  env: Record<string, string>
  folder: string
  /** Takes the token's files away, and brings them back. */
  hide: () => void
  show: () => void
  /** What is in the token, as somebody else sees it who has the PIN. */
  listObjects: () => string
  remove: () => void
}

const module = MODULES.find((path) => existsSync(path))

/** Why no token can be had here. */
export function missingForSoftHsm(): string | undefined {
  if (!runsHere(['softhsm2-util', '--version']) || module === undefined) {
    return 'there is no SoftHSM (Debian: softhsm2)'
  }
  try {
    createRequire(import.meta.url).resolve('pkcs11js')
    return undefined
  } catch {
    return 'the package pkcs11js is not installed (npm install --no-save pkcs11js)'
  }
}

/** Sets `SOFTHSM2_CONF`, which the library reads when it is first used in this process. */
export function createSoftHsm(): SoftHsm {
  if (module === undefined) throw new Error('no SoftHSM')
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-softhsm-'))
  mkdirSync(join(folder, 'tokens'))
  const configuration = join(folder, 'softhsm2.conf')
  writeFileSync(
    configuration,
    `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  )
  process.env['SOFTHSM2_CONF'] = configuration
  const pins = ['--so-pin', '1234-officer', '--pin', PIN]
  run('softhsm2-util', '--init-token', '--free', '--label', LABEL, ...pins)
  return {
    settings: { module, tokenLabel: LABEL, pin: PIN },
    set: [
      `keys.pkcs11.module=${module}`,
      `keys.pkcs11.tokenLabel=${LABEL}`,
      `keys.pkcs11.pin=${PIN}`,
    ],
    env: { SOFTHSM2_CONF: configuration },
    folder,
    hide: () => renameSync(join(folder, 'tokens'), join(folder, 'hidden')),
    show: () => renameSync(join(folder, 'hidden'), join(folder, 'tokens')),
    listObjects: () =>
      run('pkcs11-tool', '--module', module, '--token-label', LABEL, '--login', '--pin', PIN, '-O'),
    remove: () => rmSync(folder, { recursive: true }),
  }
}

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr}`)
  return stdout
}
