import type Provider from 'oidc-provider'
import type { DeviceCode } from 'oidc-provider'
import { z } from 'zod'
import type { Clock } from '../kernel/clock.ts'
import type { Store } from '../store/store.ts'
import { refuse } from './client-authentication.ts'
import type { HiddenValues } from './hidden-values.ts'
import type { OidcProvider } from './oidc-provider.ts'

/** RFC 8628 §3.2: what a device assumes that is told nothing; §3.5: how much more after each `slow_down`. */
const INTERVAL_SECONDS = 5
const MORE_SECONDS = 5
/** A request may have been faster on the way than the one before. */
const LEEWAY_MS = 500
const KEPT_SECONDS = 600

const POLLS = { name: 'oidc/device-poll', layout: 'scattered' } as const
const pollSchema = z.object({ at_ms: z.number(), interval_seconds: z.int() })

export type PollingOptions = {
  store: Store
  clock: Clock
  hidden: HiddenValues
  oidc: OidcProvider
}

/** Tells a device that asks too often about a code that nobody has decided on to slow down (RFC 8628 §3.5). */
export function limitPolling(provider: Provider, options: PollingOptions): void {
  const { store, clock, hidden, oidc } = options

  const isTooFast = async (deviceCode: string): Promise<boolean> => {
    const id = hidden.idOf('device-poll', deviceCode)
    const kept = await store.get(POLLS, id)
    const last = kept && pollSchema.parse(kept.value)
    const interval = last?.interval_seconds ?? INTERVAL_SECONDS
    const tooFast = last !== undefined && clock() - last.at_ms < interval * 1000 - LEEWAY_MS
    const value = { at_ms: clock(), interval_seconds: tooFast ? interval + MORE_SECONDS : interval }
    const lifetime = { ttlSeconds: KEPT_SECONDS }
    await store.commit(POLLS, [{ kind: 'put', id, value, expect: 'any', lifetime }])
    return tooFast
  }

  const find = provider.DeviceCode.find.bind(provider.DeviceCode)
  Object.assign(provider.DeviceCode, {
    async find(...args: Parameters<typeof find>) {
      const code = await find(...args)
      const { ctx } = oidc.Provider
      const isPoll = ctx?.oidc.route === 'token' && code instanceof provider.DeviceCode
      if (!isPoll || code.clientId !== ctx.oidc.client?.clientId || !isPending(code)) return code
      const tooFast = await isTooFast(args[0]).catch((error: unknown) =>
        refuse(error, ctx, oidc.errors),
      )
      if (tooFast) throw new oidc.errors.SlowDown()
      return code
    },
  })
}

function isPending({ accountId, error, consumed, isExpired }: DeviceCode): boolean {
  return accountId === undefined && error === undefined && !consumed && !isExpired
}
