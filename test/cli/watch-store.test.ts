import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { watchStore } from '../../src/cli/watch-store.ts'
import type { StoreStatus } from '../../src/store/store.ts'

test('a store that was never heard of is not called well', async () => {
  const registry = new Registry()
  const { promise, resolve } = Promise.withResolvers<StoreStatus>()
  const watch = watchStore({ status: () => promise }, registry)
  expect(watch.read()).toEqual({
    status: 'unavailable',
    detail: 'the store has not answered yet',
  })
  expect(await registry.metrics()).toContain('gatehouse_store_up 0')
  resolve({ backend: 'sqlite', version: '3', latencyMs: 1, sizeBytes: 2, warnings: [] })
  await new Promise((settled) => setImmediate(settled))
  expect(watch.read()).toEqual({ status: 'ok' })
  expect(await registry.metrics()).toContain('gatehouse_store_up 1')
  watch.stop()
})
