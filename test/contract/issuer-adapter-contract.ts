import { randomBytes, randomUUID } from 'node:crypto'
import type { Adapter } from 'oidc-provider'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAdapterFactory } from '../../src/issuer/adapter.ts'
import { createGrants, type Grants } from '../../src/issuer/grants.ts'
import { createHiddenValues } from '../../src/issuer/hidden-values.ts'
import { loadOidcProvider } from '../../src/issuer/oidc-provider.ts'
import { successorOf } from '../../src/issuer/refresh-rotation.ts'
import { AppError } from '../../src/kernel/errors.ts'
import { createRegistry } from '../../src/registry/create-registry.ts'
import { REVOCATIONS } from '../../src/revocations/revocation.ts'
import type { Store } from '../../src/store/store.ts'
import type { OpenedStore } from '../support/stores.ts'

const refreshKey = randomBytes(32)
const storedTokenKey = randomBytes(32)
const fresh = () => randomBytes(32).toString('base64url')

/** What oidc-provider relies on, on every store: two issuers at it, as they would be on one Redis. */
export function describeIssuerAdapter(start: (clock: () => number) => Promise<OpenedStore>): void {
  let nowMs = Date.now()
  const clock = () => nowMs
  let opened: OpenedStore | undefined
  let written: string[]
  let adapter: (model: string) => Adapter
  let peer: (model: string) => Adapter
  let grants: Grants
  let oidc: Awaited<ReturnType<typeof loadOidcProvider>>

  const issuerOn = (store: Store) => {
    const hidden = createHiddenValues(storedTokenKey)
    const own = createGrants({ store, clock, hidden })
    const { clients } = createRegistry({ store, clock, maxFailuresPerMinute: 10 })
    const kept = { clients, store, clock, hidden, grants: own }
    const options = { ...kept, refreshKey, refreshTokenTtlSeconds: 600, oidc }
    return { adapter: createAdapterFactory(options), grants: own }
  }
  const storeOf = () => {
    if (opened === undefined) throw new Error('the store did not start')
    return opened.store
  }
  const revokedJtis = async () =>
    (await storeOf().read(REVOCATIONS, { limit: 10_000 })).map(
      ({ value }) => (value as { value: string }).value,
    )

  beforeAll(async () => {
    oidc = await loadOidcProvider()
    opened = await start(clock)
    const { store } = opened
    written = []
    const watched: Store = {
      ...store,
      commit(collection, changes) {
        written.push(JSON.stringify([collection, changes]))
        for (const change of changes) {
          if (change.kind === 'put') expect(change.lifetime).not.toBe('permanent')
        }
        return store.commit(collection, changes)
      },
    }
    ;({ adapter, grants } = issuerOn(watched))
    ;({ adapter: peer } = issuerOn(store))
  })
  afterAll(() => opened?.stop())

  describe.each([
    'Session',
    'Interaction',
    'AuthorizationCode',
    'PushedAuthorizationRequest',
    'DeviceCode',
    'RefreshToken',
    'Grant',
  ])('a %s', (model) => {
    test('is found as it was written, at every issuer, until it is destroyed', async () => {
      const [id, exp] = [fresh(), Math.floor(nowMs / 1000) + 60]
      const payload = { jti: id, kind: model, exp, accountId: 'user:1', clientId: 'c' }
      await adapter(model).upsert(id, payload, 60)
      expect(await peer(model).find(id)).toEqual(payload)
      await peer(model).destroy(id)
      expect(await adapter(model).find(id)).toBeUndefined()
    })

    test('cannot be read in the store, nor used by who has read it, and does not stay for ever', async () => {
      const id = fresh()
      await adapter(model).upsert(id, { jti: id, kind: model, userCode: id.slice(0, 8) }, 60)
      expect(written.join('\n')).not.toContain(id)
      for (const [, storedId = ''] of written.join('\n').matchAll(/"id":"([^"]+)"/g)) {
        expect(await adapter(model).find(storedId)).toBeUndefined()
      }
    })

    test('that is not there is not found', async () => {
      expect(await adapter(model).find(fresh())).toBeUndefined()
      expect(await adapter(model).findByUid(fresh())).toBeUndefined()
      expect(await adapter(model).findByUserCode(fresh())).toBeUndefined()
    })
  })

  test('what an interaction leads to cannot be read in the store', async () => {
    const [id, deviceCode, cookie] = [fresh(), fresh(), fresh()]
    const payload = { deviceCode, returnTo: `http://x/auth/${id}`, session: { cookie } }
    await adapter('Interaction').upsert(id, { jti: id, ...payload }, 60)
    expect(await peer('Interaction').find(id)).toMatchObject(payload)
    for (const secret of [id, deviceCode, cookie]) expect(written.join('\n')).not.toContain(secret)
  })

  test('a session is found by its uid, but not its cookie', async () => {
    const [id, uid] = [fresh(), randomUUID()]
    await adapter('Session').upsert(id, { jti: id, uid, accountId: 'user:1' }, 60)
    expect(await peer('Session').findByUid(uid)).toEqual({ uid, accountId: 'user:1' })
    await adapter('Session').destroy(id)
    expect(await peer('Session').findByUid(uid)).toBeUndefined()
  })

  test('a device code is found by its user code, which cannot be read in the store', async () => {
    const [deviceCode, userCode] = [fresh(), 'BCDFGHJK']
    await adapter('DeviceCode').upsert(deviceCode, { jti: deviceCode, userCode }, 60)
    const found = await peer('DeviceCode').findByUserCode(userCode)
    expect(found).toEqual({ jti: deviceCode, userCode })
    await peer('DeviceCode').upsert(deviceCode, { ...found, accountId: 'user:1' }, 50)
    expect(await adapter('DeviceCode').find(deviceCode)).toMatchObject({ accountId: 'user:1' })
    expect(written.join('\n')).not.toContain(userCode)
    await adapter('DeviceCode').consume(deviceCode)
    await expect(adapter('DeviceCode').upsert(deviceCode, {}, 50)).rejects.toThrow('invalid_grant')
  })

  test.each([
    ['AuthorizationCode', 'invalid_grant'],
    ['DeviceCode', 'invalid_grant'],
    ['PushedAuthorizationRequest', 'invalid_request_uri'],
  ])('of many who use the same %s at once one succeeds', async (model, error) => {
    const id = fresh()
    await adapter(model).upsert(id, { jti: id }, 60)
    const uses = await Promise.allSettled(
      Array.from({ length: 16 }, (_unused, i) => (i % 2 ? adapter : peer)(model).consume(id)),
    )
    const lost = uses.filter((use) => use.status === 'rejected')
    expect(lost).toHaveLength(15)
    for (const { reason } of lost) expect(reason).toMatchObject({ error })
    expect(await peer(model).find(id)).toMatchObject({ consumed: Math.floor(nowMs / 1000) })
  })

  describe('a refresh token', () => {
    const grant = async () => {
      const [grantId, token] = [fresh(), fresh()]
      await adapter('Grant').upsert(grantId, { jti: grantId, exp: nowMs / 1000 + 60 }, 60)
      await adapter('RefreshToken').upsert(token, { jti: token, grantId }, 600)
      return { grantId, token }
    }
    const rotate = async (at: typeof adapter, token: string, grantId: string) => {
      await at('RefreshToken').consume(token)
      const next = successorOf(refreshKey, token)
      await at('RefreshToken').upsert(next, { jti: next, grantId }, 600)
      return next
    }

    test('lets its grant live as long as it does', async () => {
      const { grantId } = await grant()
      expect(await peer('Grant').find(grantId)).toMatchObject({
        exp: Math.floor(nowMs / 1000) + 600,
      })
    })

    test('that several use at once has one successor', async () => {
      const { token, grantId } = await grant()
      const successors = await Promise.all(
        [adapter, peer, adapter, peer].map((at) => rotate(at, token, grantId)),
      )
      expect(new Set(successors).size).toBe(1)
      expect(await peer('Grant').find(grantId)).toBeDefined()
    })

    test('looks unused to who asks again within 10 s, while its successor is unused', async () => {
      const { token, grantId } = await grant()
      const next = await rotate(adapter, token, grantId)
      nowMs += 10_000
      expect(await peer('RefreshToken').find(token)).not.toHaveProperty('consumed')
      await rotate(peer, token, grantId)
      await peer('RefreshToken').consume(next)
      expect(await adapter('RefreshToken').find(token)).toHaveProperty('consumed')
    })

    test('that is used again after 10 s ends the grant and its access tokens', async () => {
      const { token, grantId } = await grant()
      await rotate(adapter, token, grantId)
      const jti = randomUUID()
      await grants.addToken(grantId, { jti, exp: Math.floor(nowMs / 1000) + 900 })
      nowMs += 11_000
      expect(await peer('RefreshToken').find(token)).toHaveProperty('consumed')
      await expect(peer('RefreshToken').consume(token)).rejects.toThrow('invalid_grant')
      expect(await adapter('Grant').find(grantId)).toBeUndefined()
      expect(await revokedJtis()).toContain(jti)
    })

    test('whose successor was never written is no reuse, however long the store was away', async () => {
      const { token, grantId } = await grant()
      await adapter('RefreshToken').consume(token)
      nowMs += 60_000
      expect(await peer('RefreshToken').find(token)).not.toHaveProperty('consumed')
      const next = await rotate(peer, token, grantId)
      expect(await adapter('RefreshToken').find(next)).not.toHaveProperty('consumed')
      nowMs += 11_000
      await expect(adapter('RefreshToken').consume(token)).rejects.toThrow('invalid_grant')
      expect(await peer('Grant').find(grantId)).toBeUndefined()
    })

    test('whose successor was used and has expired is reuse: its lifetime was made shorter meanwhile', async () => {
      const [grantId, token] = [fresh(), fresh()]
      await adapter('RefreshToken').upsert(token, { jti: token, grantId }, 7200)
      await adapter('Grant').upsert(grantId, { jti: grantId, exp: nowMs / 1000 + 7200 }, 7200)
      const next = await rotate(adapter, token, grantId)
      await adapter('RefreshToken').consume(next)
      nowMs += 601_000
      // As Redis does, whose clock is its own.
      const id = createHiddenValues(storedTokenKey).idOf('RefreshToken', next)
      const collection = { name: 'oidc/RefreshToken', layout: 'scattered' } as const
      await storeOf().commit(collection, [{ kind: 'delete', id, expect: 'any' }])
      expect(await peer('RefreshToken').find(next)).toBeUndefined()
      expect(await peer('RefreshToken').find(token)).toHaveProperty('consumed')
      await expect(peer('RefreshToken').consume(token)).rejects.toThrow('invalid_grant')
      expect(await adapter('Grant').find(grantId)).toBeUndefined()
    })

    test('that is destroyed takes its grant along, to which the one before could lead', async () => {
      const { token, grantId } = await grant()
      const next = await rotate(adapter, token, grantId)
      await adapter('RefreshToken').destroy(next)
      expect(await peer('RefreshToken').find(next)).toBeUndefined()
      expect(await peer('Grant').find(grantId)).toBeUndefined()
    })

    test('that is used again after its successor was ends the grant', async () => {
      const { token, grantId } = await grant()
      const next = await rotate(adapter, token, grantId)
      await rotate(adapter, next, grantId)
      await expect(peer('RefreshToken').consume(token)).rejects.toThrow('invalid_grant')
      expect(await adapter('Grant').find(grantId)).toBeUndefined()
    })
  })

  describe('a grant', () => {
    const newGrant = async () => {
      const grantId = fresh()
      await adapter('Grant').upsert(grantId, { jti: grantId, accountId: 'user:1' }, 600)
      return grantId
    }
    const tokenNow = (seconds = 900) => ({
      jti: randomUUID(),
      exp: Math.floor(nowMs / 1000) + seconds,
    })

    test('takes every token that is alive along, whoever added it at the same time', async () => {
      const grantId = await newGrant()
      const tokens = Array.from({ length: 8 }, () => tokenNow())
      await Promise.all(tokens.map((token) => grants.addToken(grantId, token)))
      const expired = tokenNow(1)
      await grants.addToken(grantId, expired)
      nowMs += 2000
      await grants.addToken(grantId, tokenNow())
      await adapter('Grant').destroy(grantId)
      const revoked = await revokedJtis()
      expect(revoked).toEqual(expect.arrayContaining(tokens.map(({ jti }) => jti)))
      expect(revoked).not.toContain(expired.jti)
    })

    test('that was revoked does not come back, and what is added to it is revoked', async () => {
      const grantId = await newGrant()
      await grants.revoke(grantId)
      await peer('Grant').upsert(grantId, { jti: grantId, accountId: 'user:1' }, 600)
      expect(await adapter('Grant').find(grantId)).toBeUndefined()
      const late = tokenNow()
      await grants.addToken(grantId, late)
      expect(await revokedJtis()).toContain(late.jti)
    })

    test('remembers a bounded number of tokens: the oldest ends when there are too many', async () => {
      const grantId = await newGrant()
      const tokens = Array.from({ length: 501 }, () => tokenNow())
      for (const token of tokens) await grants.addToken(grantId, token)
      const revoked = new Set(await revokedJtis())
      expect(tokens.map(({ jti }) => revoked.has(jti))).toEqual([
        true,
        ...Array.from({ length: 500 }, () => false),
      ])
    })
  })

  test('a store that cannot answer is a refusal in the words of RFC 6749', async () => {
    const failing = async () => {
      throw new AppError('temporarily_unavailable', 'The store does not answer.')
    }
    const broken = issuerOn({ ...storeOf(), get: failing, commit: failing }).adapter
    for (const model of ['Client', 'Session', 'Grant', 'AuthorizationCode', 'RefreshToken']) {
      await expect(broken(model).find(fresh())).rejects.toMatchObject({
        error: 'temporarily_unavailable',
        status: 503,
      })
    }
  })

  test('an access token is never kept', async () => {
    await expect(adapter('AccessToken').upsert(fresh(), {}, 60)).rejects.toThrow('is kept')
    expect(await adapter('AccessToken').find(fresh())).toBeUndefined()
  })
}
