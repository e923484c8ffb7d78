import type { Config } from '../config/schema.ts'
import type { Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import type { KeyHome } from '../keys/key-home.ts'
import { openPkcs11Home } from '../keys/pkcs11-home.ts'
import { generateSigningKey } from '../keys/ring-file.ts'
import type { MakeKey } from '../keys/ring.ts'

/** Where signing keys are made and used, if that is not this process. */
export async function openKeyHome(
  { keys, issuer }: Config,
  { log, clock }: { log: Log; clock: Clock },
): Promise<KeyHome | undefined> {
  if (keys.pkcs11 === undefined) return undefined
  const label = `gatehouse ${issuer.url}`
  return openPkcs11Home(keys.pkcs11, { label, modulusLength: keys.modulusLength, clock, log })
}

export function keyMakerOf({ keys }: Config, home: KeyHome | undefined): MakeKey {
  return home?.makeKey ?? (() => generateSigningKey(keys.modulusLength))
}
