import { describe, expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import { createRing, type FreshKey } from '../../src/keys/ring.ts'
import { watchSigning } from '../../src/keys/signing-check.ts'
import { makeFakeKey } from '../support/ring-keys.ts'

/** A home that can be taken away. */
function createHome() {
  const signed: string[] = []
  const home = {
    name: 'fake',
    isAway: false,
    signed,
    makeKey: async () => makeFakeKey('fresh'),
    async sign(keyId: string) {
      signed.push(keyId)
      if (!home.isAway) return new Uint8Array()
      throw new AppError('temporarily_unavailable', 'Nothing can be signed.', {
        reason: 'key_home_unavailable',
      })
    },
    list: async () => [],
    destroy: async () => undefined,
    close: async () => undefined,
  }
  return home
}

const inHome = (kid: string) => {
  const { publicJwk } = makeFakeKey(kid)
  return { kid, publicJwk, home: { name: 'fake', keyId: `id-of-${kid}` } }
}
const ringOf = (isReadable: boolean, active: FreshKey, next: FreshKey) => ({
  current: () => createRing(active, next, 1_700_000_000),
  isReadable: () => isReadable,
})

describe('whether tokens can be signed', () => {
  test('is not so while the home of the active key signs nothing, and is again once it does', async () => {
    const home = createHome()
    const check = watchSigning(ringOf(true, inHome('a'), inHome('b')), home)
    expect(check.read().status).toBe('unavailable')
    await new Promise((resolve) => setImmediate(resolve))
    expect(check.read()).toEqual({ status: 'ok' })
    home.isAway = true
    await check.look()
    expect(check.read()).toEqual({
      status: 'unavailable',
      detail: 'the home of the keys, fake, does not answer (key_home_unavailable)',
    })
    home.isAway = false
    await check.look()
    expect(check.read()).toEqual({ status: 'ok' })
    expect(new Set(home.signed)).toEqual(new Set(['id-of-a']))
    check.stop()
  })

  test('does not depend on a home while the active key is in the ring itself', async () => {
    const home = createHome()
    home.isAway = true
    const check = watchSigning(ringOf(true, makeFakeKey('a'), inHome('b')), home)
    await check.look()
    await new Promise((resolve) => setImmediate(resolve))
    expect(check.read()).toEqual({ status: 'ok' })
    expect(home.signed).toEqual([])
    check.stop()
  })

  test('is so at once without a home, as long as the ring is read', () => {
    expect(
      watchSigning(ringOf(true, makeFakeKey('a'), makeFakeKey('b')), undefined).read(),
    ).toEqual({ status: 'ok' })
    expect(
      watchSigning(ringOf(false, makeFakeKey('a'), makeFakeKey('b')), undefined).read(),
    ).toEqual({ status: 'unavailable', detail: 'the key ring cannot be read' })
  })
})
