import { Provider } from 'oidc-provider'
import { expect, test } from 'vitest'
import { createLiveProvider } from '../../src/issuer/live-provider.ts'
import { createLog } from '../../src/kernel/log.ts'
import { createRing, type Ring } from '../../src/keys/ring.ts'
import { makeFakeKey } from '../support/ring-keys.ts'
import { waitUntil } from '../support/wait-until.ts'

const ringOf = (name: string) => createRing(makeFakeKey(name), makeFakeKey(`${name}-next`), 0)

test('a new ring gets a provider of its own', async () => {
  const source = changeableRing(ringOf('a'))
  const builtFor: Ring[] = []
  const live = await createLiveProvider({
    ring: source,
    build: async (ring) => {
      builtFor.push(ring)
      return new Provider('http://localhost')
    },
    log: createLog('silent'),
  })
  const before = live.current()
  source.change(ringOf('b'))
  await waitUntil('the swap', async () => live.current() !== before)
  expect(builtFor).toEqual([ringOf('a'), ringOf('b')])
})

test('a build that ends late does not undo a later one', async () => {
  const source = changeableRing(ringOf('a'))
  const waiting = new Map<Ring, (provider: Provider) => void>()
  const live = await createLiveProvider({
    ring: source,
    build: (ring) =>
      waiting.size === 0 && ring === source.first
        ? Promise.resolve(new Provider('http://localhost'))
        : new Promise((resolve) => waiting.set(ring, resolve)),
    log: createLog('silent'),
  })
  const [second, third] = [ringOf('b'), ringOf('c')]
  source.change(second)
  source.change(third)
  const [late, latest] = [new Provider('http://localhost'), new Provider('http://localhost')]
  waiting.get(third)?.(latest)
  await waitUntil('the swap', async () => live.current() === latest)
  waiting.get(second)?.(late)
  await new Promise(setImmediate)
  expect(live.current()).toBe(latest)
})

test('once closed it follows no change', async () => {
  const source = changeableRing(ringOf('a'))
  const live = await createLiveProvider({
    ring: source,
    build: async () => new Provider('http://localhost'),
    log: createLog('silent'),
  })
  live.close()
  expect(source.listeners()).toBe(0)
})

function changeableRing(first: Ring) {
  let ring = first
  const listeners = new Set<() => void>()
  return {
    first,
    current: () => ring,
    onChange(listener: () => void) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    change(next: Ring) {
      ring = next
      for (const listener of listeners) listener()
    },
    listeners: () => listeners.size,
  }
}
