import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { createPublicKey, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/kernel/errors.ts'
import { createLog } from '../../src/kernel/log.ts'
import { sweepHome } from '../../src/keys/home-sweep.ts'
import { requireKeysAtHand, type KeyHome } from '../../src/keys/key-home.ts'
import { promoteNext } from '../../src/keys/lifecycle.ts'
import { openPkcs11Home } from '../../src/keys/pkcs11-home.ts'
import { parseRing } from '../../src/keys/ring-file.ts'
import { createRing, keysOfHome, nextKey } from '../../src/keys/ring.ts'
import { startApart } from '../support/apart.ts'
import { runCommand } from '../support/command.ts'
import { startGatehouse } from '../support/gatehouse.ts'
import { startModelServer } from '../support/model-server.ts'
import { createSoftHsm, missingForSoftHsm, type SoftHsm } from '../support/softhsm.ts'
import { waitUntil } from '../support/wait-until.ts'

const log = createLog('silent')
const missing = missingForSoftHsm()
if (missing !== undefined) console.warn(`!!! PKCS#11 IS NOT TESTED: ${missing} !!!`)

describe.skipIf(missing !== undefined)('keys in a PKCS#11 token', () => {
  let hsm: SoftHsm
  let home: KeyHome
  let now = 1_700_000_000
  const clock = () => now * 1000
  const open = (over: Partial<SoftHsm['settings']> = {}, label = 'gatehouse a') =>
    openPkcs11Home({ ...hsm.settings, ...over }, { label, modulusLength: 2048, clock, log })

  beforeAll(async () => {
    hsm = createSoftHsm()
    home = await open()
  })
  afterAll(async () => {
    await home.close()
    hsm.remove()
  })

  test('are made there and never leave it', async () => {
    const key = await home.makeKey()
    expect(key).not.toHaveProperty('privateJwk')
    const listed = hsm.listObjects()
    expect(listed).toContain(key.home?.keyId)
    expect(listed).toMatch(
      /Private Key Object; RSA[^]*sensitive, always sensitive, never extractable/,
    )
    expect(await home.list()).toContainEqual({ keyId: key.home?.keyId, madeAt: now })
  })

  test('sign what their public half verifies, many at once', async () => {
    const { publicJwk, home: address } = await home.makeKey()
    const key = createPublicKey({ key: publicJwk, format: 'jwk' })
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const data = Buffer.from(`token ${i}`)
        const signature = await home.sign(address?.keyId ?? '', data)
        expect(verify('sha256', data, key, signature)).toBe(true)
      }),
    )
  })

  test('are there again for whoever opens the token later, and for nobody of another installation', async () => {
    const { home: address } = await home.makeKey()
    const [later, other] = [await open(), await open({}, 'gatehouse b')]
    expect((await later.sign(address?.keyId ?? '', Buffer.from('x'))).length).toBe(256)
    expect((await later.list()).map(({ keyId }) => keyId)).toContain(address?.keyId)
    expect(await other.list()).toEqual([])
    await other.destroy(address?.keyId ?? '')
    expect((await home.list()).map(({ keyId }) => keyId)).toContain(address?.keyId)
  })

  test('are destroyed once they retire, and then sign nothing', async () => {
    const ring = createRing(await home.makeKey(), await home.makeKey(), now)
    const [retired = ''] = keysOfHome(ring, home.name)
    now += 1000
    const promoted = promoteNext(ring, await home.makeKey(), { now, jwksMaxAgeSeconds: 300 })
    if (promoted === undefined) throw new Error('not promoted')
    await sweepHome({ home, loadRing: async () => promoted, clock, log })
    expect((await home.list()).map(({ keyId }) => keyId).toSorted()).toEqual(
      keysOfHome(promoted, home.name).toSorted(),
    )
    expect(hsm.listObjects()).not.toContain(retired)
    await home.destroy(retired)
    await expect(home.sign(retired, Buffer.from('x'))).rejects.toMatchObject({
      code: 'temporarily_unavailable',
      reason: 'key_home_unavailable',
    })
    await requireKeysAtHand(promoted, home)
    await expect(requireKeysAtHand(ring, home)).rejects.toThrow('not in pkcs11 any more')
    await expect(requireKeysAtHand(ring, undefined)).rejects.toThrow('configure keys.pkcs11')
  })

  test.each([
    ['module', '/nowhere/lib.so', 'cannot be loaded'],
    ['tokenLabel', 'other', 'there is no token other'],
  ])('a wrong %s is a ConfigError', async (setting, value, message) => {
    const error: unknown = await open({ [setting]: value }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigError)
    expect(String(error)).toContain(`keys.pkcs11.${setting}`)
    expect(String(error)).toContain(message)
  })

  test('a wrong PIN ends the start, and is not told', async () => {
    const [set, dir] = [
      hsm.set.map((each) => each.replace(hsm.settings.pin, 'wrong-pin')),
      hsm.folder,
    ]
    const flags = [...set, `keys.dir=${join(dir, 'k')}`, `dataDir=${join(dir, 'd')}`]
    const { code, stdout, stderr } = await runCommand(
      [...flags.flatMap((each) => ['--set', each]), 'init'],
      hsm.env,
    )
    expect(stderr).toContain('keys.pkcs11.pin: the token refuses it (CKR_PIN_INCORRECT')
    expect(code).toBe(78)
    expect(stdout + stderr).not.toContain('wrong-pin')
  })

  test('an issuer whose token is gone answers 503 and is not ready, and signs again once it is back', async () => {
    const model = await startModelServer()
    const gatehouse = await startGatehouse(model.url, hsm.set)
    const client = await gatehouse.createClient()
    expect((await gatehouse.requestToken(client)).status).toBe(200)
    const readyz = `http://${gatehouse.config.issuer.opsListen}/readyz`
    const isReady = async () => (await fetch(readyz)).ok
    await waitUntil('readiness', isReady)
    hsm.hide()
    const refused = await gatehouse.requestToken(client)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await refused.json()).toMatchObject({ error: 'temporarily_unavailable' })
    await waitUntil('no readiness', async () => !(await isReady()))
    expect(await (await fetch(readyz)).json()).toMatchObject({
      checks: { keys: { status: 'unavailable', detail: expect.stringContaining('pkcs11') } },
    })
    hsm.show()
    await waitUntil('readiness again', isReady)
    await waitUntil('tokens again', async () => (await gatehouse.requestToken(client)).ok)
    await gatehouse.close()
    await model.close()
  })

  test('an issuer rotates them by the clock, and what has retired is gone from the token', async () => {
    const apart = await startApart(hsm.set)
    try {
      const ring = async () =>
        parseRing('ring.json', readFileSync(join(apart.dir, 'keys', 'ring.json'), 'utf8'))
      const before = await ring()
      const [old = '', following = ''] = keysOfHome(before, home.name)
      expect(hsm.listObjects()).toContain(old)
      apart.time.now += 31 * 86_400_000
      await waitUntil('the rotation', async () => {
        const [signing] = keysOfHome(await ring(), home.name)
        return signing === following
      })
      const token = await apart.issueToken('later')
      expect(decodeProtectedHeader(token).kid).toBe(nextKey(before)?.kid)
      // An issuer sweeps when it starts, and every minute.
      await apart.stopIssuer()
      await apart.startIssuer()
      await waitUntil('the sweep', async () => !hsm.listObjects().includes(old))
      for (const keyId of keysOfHome(await ring(), home.name)) {
        expect(hsm.listObjects()).toContain(keyId)
      }
      expect((await apart.issueToken('last')).length).toBeGreaterThan(0)
    } finally {
      await apart.close()
    }
  })

  test('an issuer signs its tokens with them, its key ring has no private half, and it finds them again', async () => {
    const model = await startModelServer()
    const gatehouse = await startGatehouse(model.url, hsm.set)
    const token = await gatehouse.issueToken()
    const keys = createRemoteJWKSet(new URL(`${gatehouse.config.issuer.url}/jwks`))
    const { payload } = await jwtVerify(token, keys, { typ: 'at+jwt' })
    expect(payload).toHaveProperty('scope', 'ocr_api_access')
    const called = await fetch(`${gatehouse.config.proxy.url}/v1/models`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(called.status).toBe(200)
    const text = readFileSync(join(gatehouse.config.keys.dir, 'ring.json'), 'utf8')
    expect(text).not.toContain('privateJwk')
    expect(text).toContain('"pkcs11"')
    expect(decodeProtectedHeader(token).kid).toBe(JSON.parse(text).keys[0].kid)
    await gatehouse.close()
    await model.close()
  })
})
