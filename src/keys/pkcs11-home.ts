import { calculateJwkThumbprint } from 'jose'
import { randomBytes } from 'node:crypto'
import { epochSeconds, type Clock } from '../kernel/clock.ts'
import type { Log } from '../kernel/log.ts'
import type { HomeKey, KeyHome } from './key-home.ts'
import { loadPkcs11 } from './pkcs11-module.ts'
import type pkcs11 from 'pkcs11js'
import { openPkcs11Token, type Pkcs11Settings, type Session } from './pkcs11-token.ts'

const PKCS11_HOME = 'pkcs11'
const LONGEST_SIGNATURE_BYTES = 1024
const MOST_OBJECTS = 1000
const ID_BYTES = 16

export type Pkcs11HomeOptions = {
  /** On every key, so that several installations may share a token. */
  label: string
  modulusLength: number
  clock: Clock
  log: Log
}

/**
 * Keys in a PKCS#11 token: an HSM, a smart card, SoftHSM. They are made there as not extractable. What the ring calls the
 * key is its CKA_ID in hex: when it was made, and a random number.
 */
export async function openPkcs11Home(
  settings: Pkcs11Settings,
  { label, modulusLength, clock, log }: Pkcs11HomeOptions,
): Promise<KeyHome> {
  const names = await loadPkcs11()
  const token = openPkcs11Token(names, settings, log)
  const { CKA_CLASS, CKA_TOKEN, CKA_LABEL, CKA_ID, CKO_PRIVATE_KEY } = names
  const ours = { type: CKA_LABEL, value: label }
  const isPrivate = { type: CKA_CLASS, value: CKO_PRIVATE_KEY }

  const withId = (keyId: string) => ({ type: CKA_ID, value: Buffer.from(keyId, 'hex') })

  function privateKeyOf(session: Session, keyId: string): pkcs11.Handle {
    const known = session.keys.get(keyId)
    if (known !== undefined) return known
    const [found] = findObjects(session, [isPrivate, withId(keyId)])
    if (found === undefined) throw new Error(`the token has no key ${keyId}`)
    session.keys.set(keyId, found)
    return found
  }

  return {
    name: PKCS11_HOME,
    makeKey: () =>
      token.withSession(async ({ lib, handle }) => {
        const id = newKeyId(epochSeconds(clock))
        const both = [{ type: CKA_TOKEN, value: true }, { type: CKA_ID, value: id }, ours]
        const made = await lib.C_GenerateKeyPairAsync(
          handle,
          { mechanism: names.CKM_RSA_PKCS_KEY_PAIR_GEN },
          [
            ...both,
            { type: names.CKA_VERIFY, value: true },
            { type: names.CKA_MODULUS_BITS, value: modulusLength },
            { type: names.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) },
          ],
          [
            ...both,
            { type: names.CKA_PRIVATE, value: true },
            { type: names.CKA_SENSITIVE, value: true },
            { type: names.CKA_EXTRACTABLE, value: false },
            { type: names.CKA_SIGN, value: true },
          ],
        )
        const [n, e] = lib
          .C_GetAttributeValue(handle, made.publicKey, [
            { type: names.CKA_MODULUS },
            { type: names.CKA_PUBLIC_EXPONENT },
          ])
          .map(({ value }) => unsigned(value))
        if (n === undefined || e === undefined) throw new Error('the token tells no public key')
        const publicJwk = { kty: 'RSA', n, e } as const
        const home = { name: PKCS11_HOME, keyId: id.toString('hex') }
        return { kid: await calculateJwkThumbprint(publicJwk), publicJwk, home }
      }),
    sign: (keyId, data) =>
      token.withSession(async (session) => {
        const { lib, handle } = session
        const mechanism = { mechanism: names.CKM_SHA256_RSA_PKCS }
        lib.C_SignInit(handle, mechanism, privateKeyOf(session, keyId))
        return lib.C_SignAsync(handle, Buffer.from(data), Buffer.alloc(LONGEST_SIGNATURE_BYTES))
      }),
    list: () =>
      token.withSession(async (session) =>
        findObjects(session, [isPrivate, ours]).flatMap((key) => {
          const { lib, handle } = session
          const [id] = lib.C_GetAttributeValue(handle, key, [{ type: CKA_ID }])
          return id?.value.length === ID_BYTES ? [homeKeyOf(id.value)] : []
        }),
      ),
    destroy: (keyId) =>
      token.withSession(async (session) => {
        for (const each of findObjects(session, [ours, withId(keyId)])) {
          session.lib.C_DestroyObject(session.handle, each)
        }
      }),
    close: token.close,
  }
}

function findObjects(
  { lib, handle }: Session,
  template: pkcs11.Attribute[],
): readonly pkcs11.Handle[] {
  lib.C_FindObjectsInit(handle, template)
  try {
    return lib.C_FindObjects(handle, MOST_OBJECTS)
  } finally {
    lib.C_FindObjectsFinal(handle)
  }
}

function newKeyId(now: number): Buffer {
  const id = randomBytes(ID_BYTES)
  id.writeBigUInt64BE(BigInt(now))
  return id
}

function homeKeyOf(id: Buffer): HomeKey {
  return { keyId: id.toString('hex'), madeAt: Number(id.readBigUInt64BE()) }
}

/** Without the leading zeros that some tokens give (RFC 7518 §2). */
function unsigned(number: Buffer): string {
  return number.subarray(number.findIndex((byte) => byte !== 0)).toString('base64url')
}
