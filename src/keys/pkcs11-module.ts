import type pkcs11 from 'pkcs11js'
import { ConfigError } from '../kernel/errors.ts'

export type Pkcs11 = typeof pkcs11

/** The native package, which `npm ci` does not install: a ConfigError says how to, where it is missing. */
export async function loadPkcs11(): Promise<Pkcs11> {
  try {
    const { default: loaded } = await import('pkcs11js')
    return loaded
  } catch (error) {
    throw new ConfigError(
      [`keys.pkcs11: the package pkcs11js cannot be loaded (${firstLineOf(error)})`],
      'install it beside Gatehouse: npm install --no-save pkcs11js (it is compiled: that takes make and a C++ compiler)',
    )
  }
}

export function firstLineOf(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n', 1)[0] ?? ''
}
