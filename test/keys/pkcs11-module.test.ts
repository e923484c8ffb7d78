import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { ConfigError } from '../../src/kernel/errors.ts'
import { loadPkcs11 } from '../../src/keys/pkcs11-module.ts'

function isInstalled(): boolean {
  try {
    createRequire(import.meta.url).resolve('pkcs11js')
    return true
  } catch {
    return false
  }
}

test.skipIf(isInstalled())(
  'where the native package is missing, a ConfigError says how to install it',
  async () => {
    const error: unknown = await loadPkcs11().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).hint).toContain('npm install --no-save pkcs11js')
  },
)
