import { createPrivateKey, randomUUID, sign, type KeyObject } from 'node:crypto'
import type { KeyHome } from '../../src/keys/key-home.ts'
import { makeRsaKey } from './ring-keys.ts'

/** A key home that really makes and uses RSA keys, and gives none out: they are gone with it. */
export function createClosedHome(clock: () => number = Date.now): KeyHome {
  const kept = new Map<string, { key: KeyObject; madeAt: number }>()
  return {
    name: 'closed',
    async makeKey() {
      const { kid, publicJwk, privateJwk } = await makeRsaKey(2048)
      const keyId = randomUUID()
      const key = createPrivateKey({ key: { ...privateJwk }, format: 'jwk' })
      kept.set(keyId, { key, madeAt: Math.floor(clock() / 1000) })
      return { kid, publicJwk, home: { name: 'closed', keyId } }
    },
    async sign(keyId, data) {
      const { key } = kept.get(keyId) ?? {}
      if (key === undefined) throw new Error('no such key')
      return sign('RSA-SHA256', data, key)
    },
    list: async () => [...kept].map(([keyId, { madeAt }]) => ({ keyId, madeAt })),
    destroy: async (keyId) => void kept.delete(keyId),
    close: async () => undefined,
  }
}
