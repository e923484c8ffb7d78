import type { Adapter, AdapterPayload } from 'oidc-provider'
import { createExpiringRecords, type ReadRecord } from './expiring-records.ts'
import type { OidcProvider } from './oidc-provider.ts'
import { createOnceAdapter, recordOf, restore, type KeepingOptions } from './once-adapter.ts'

/** For as long after its end a device is told that the code has expired (RFC 8628 §3.5), and not that it is unknown. */
const KEPT_EXPIRED_SECONDS = 600

/** Device codes, found by themselves or by the user code that belongs to them. */
export function createDeviceCodeAdapter(
  options: KeepingOptions & { oidc: Pick<OidcProvider, 'errors'> },
): Adapter {
  const { store, clock, hidden, oidc } = options
  const records = createExpiringRecords(store, 'DeviceCode', clock)
  const userCodes = createExpiringRecords(store, 'user-code', clock)
  const idOf = (deviceCode: string) => hidden.idOf('DeviceCode', deviceCode)
  const userIdOf = (userCode: string) => hidden.idOf('user-code', userCode)
  const lose = (): never => {
    throw new oidc.errors.InvalidGrant('device code already consumed')
  }

  /** The user code leads to the device code, which only the installation's secrets make readable. */
  const keepUserCode = async (userCode: string, deviceCode: string, ttlSeconds: number) => {
    const entry = recordOf({ deviceCode: hidden.seal(deviceCode) }, ttlSeconds, clock)
    if (await userCodes.write(userIdOf(userCode), entry, 'absent')) return
    throw new oidc.errors.TemporarilyUnavailable('the user code is taken')
  }

  const expectationOf = (current: ReadRecord | undefined) =>
    current === undefined ? 'absent' : { version: current.version }

  return {
    ...createOnceAdapter('DeviceCode', options, lose),

    /** The person's decision, once the device has taken it, is not to be overwritten by a second one. */
    async upsert(deviceCode, { userCode, ...payload }: AdapterPayload, ttlSeconds = 0) {
      const keptSeconds = ttlSeconds + KEPT_EXPIRED_SECONDS
      const current = await records.read(idOf(deviceCode))
      if (current === undefined && userCode !== undefined) {
        await keepUserCode(userCode, deviceCode, keptSeconds)
      }
      if (current?.consumed_at !== undefined) lose()
      const record = recordOf(payload, keptSeconds, clock)
      if (!(await records.write(idOf(deviceCode), record, expectationOf(current)))) lose()
    },

    async findByUserCode(userCode) {
      const entry = await userCodes.read(userIdOf(userCode))
      const deviceCode = hidden.unseal(entry?.payload.deviceCode ?? '')
      if (deviceCode === undefined) return undefined
      return restore(await records.read(idOf(deviceCode)), { jti: deviceCode, userCode })
    },
  }
}
