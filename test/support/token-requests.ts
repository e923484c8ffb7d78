import { exportJWK } from 'jose'
import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import type { RawRequest } from './raw-request.ts'
import { grantOf, ownerOf } from './token-model.ts'
import type { Authentication, ClientName, TokenPlan } from './token-plans.ts'
import {
  ARCHIVE,
  CALLBACK,
  madeUpToken,
  type Fields,
  type Lane,
  type TokenWorld,
} from './token-world.ts'

const FORM = 'application/x-www-form-urlencoded'
const CREDENTIAL_FIELD: Readonly<Record<string, string>> = {
  authorization_code: 'code',
  refresh_token: 'refresh_token',
  [DEVICE_CODE_GRANT]: 'device_code',
}

/** Assertions and proofs that were good, and were used. */
export type Used = { assertion: Fields; ofNarrow: Fields; proofs: Readonly<Record<string, string>> }

/** Turns plans into requests, getting what they present first. */
export function createTokenRequests(world: TokenWorld, used: Used) {
  const { clients, keys } = world

  async function mintCredential(plan: TokenPlan, lane: Lane) {
    const { grant, credential, signIn } = plan
    const owner = ownerOf(plan)
    const { isBound } = signIn
    const present = (value: string, verifier = '') => ({ value, verifier })
    if (credential === 'absent') return undefined
    if (credential === 'hostile') return present(plan.hostile)
    if (credential === 'made up') return present(madeUpToken())
    const app = owner === 'robot' ? 'app' : owner
    switch (grant) {
      case 'authorization_code': {
        if (credential === 'of another kind') {
          return present(await lane.mintDeviceCode(app, signIn, false), 'a'.repeat(43))
        }
        const { code, verifier } = await lane.mintCode(app, signIn)
        if (credential === 'used') await lane.redeem(app, code, verifier, isBound)
        return present(code, verifier)
      }
      case 'refresh_token': {
        if (owner === 'robot' && credential !== 'of another kind') {
          const token = await lane.mintOwnRefreshToken(signIn.asks)
          if (credential !== 'used') return present(token)
          const next = await lane.refresh('robot', token, false)
          await lane.refresh('robot', next.refresh_token, false)
          return present(token)
        }
        const { code, verifier } = await lane.mintCode(app, signIn)
        if (credential === 'of another kind') return present(code)
        const first = await lane.redeem(app, code, verifier, isBound)
        if (credential === 'used') {
          const next = await lane.refresh(app, first.refresh_token, isBound)
          await lane.refresh(app, next.refresh_token, isBound)
        }
        return present(first.refresh_token)
      }
      case DEVICE_CODE_GRANT: {
        if (credential === 'of another kind')
          return present((await lane.mintCode(app, signIn)).code)
        const deviceCode = await lane.mintDeviceCode(app, signIn, true)
        if (credential === 'used') {
          const headers = app === 'bound' ? { dpop: await world.prove(keys.own) } : {}
          const fields: Fields = [
            ['client_id', clients[app].id],
            ['grant_type', grant],
            ['device_code', deviceCode],
          ]
          await world.post('/token', fields, headers)
        }
        return present(deviceCode)
      }
      default:
        return undefined
    }
  }

  async function proofsOf({ proof, client, hostile }: TokenPlan): Promise<string[]> {
    const { own, others } = keys
    const uri = `${world.issuer}/token`
    const request = { method: 'POST', uri }
    switch (proof) {
      case 'absent':
        return []
      case 'good':
        return [await world.prove(own)]
      case 'of another key':
        return [await world.prove(others)]
      case 'replayed':
        return [used.proofs[client] ?? '']
      case 'for another address':
        return [await world.prove(own, { htu: `${uri}/revocation` })]
      case 'for another method':
        return [await world.prove(own, { htm: 'GET' })]
      case 'unsigned':
        return [(await world.prove(own)).replace(/[^.]+$/, '')]
      case 'with a private key':
        return [await own.prove(request, {}, { jwk: await exportJWK(own.privateKey) })]
      case 'two':
        return [await world.prove(own), await world.prove(own)]
      case 'hostile':
        return [hostile.slice(0, 4000)]
    }
  }

  const basic = (id: string, secret: string) =>
    `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`

  type Credentials = { fields: Fields; authorization?: string[]; query?: string }

  async function authenticate({
    client,
    authentication,
    hostile,
  }: TokenPlan): Promise<Credentials> {
    const { id, secret } = clients[client]
    const isMachine = client === 'robot' || client === 'narrow'
    const named: Fields = [['client_id', id]]
    const proper = async (): Promise<Credentials> => {
      if (isMachine) return { fields: await world.assert(client) }
      return client === 'secretive'
        ? { fields: [], authorization: [basic(id, secret)] }
        : { fields: named }
    }
    const other: ClientName = client === 'robot' ? 'narrow' : 'robot'
    const asserted = (over: Record<string, unknown>) =>
      world.assert(other, { iss: id, sub: id, ...over })
    const wrong: Readonly<Record<Exclude<Authentication, 'proper'>, () => Promise<Credentials>>> = {
      none: async () => ({ fields: [] }),
      twice: async () => ({ fields: [...(await asserted({})), ...named, ...named] }),
      'two ways': async () => ({ fields: await asserted({}), authorization: [basic(id, 'x')] }),
      'two headers': async () => ({
        ...(await proper()),
        authorization: [basic(id, secret || 'x'), basic('x', 'y')],
      }),
      'in the address': async () => ({ ...(await proper()), query: `client_id=${id}` }),
      'another id': async () => {
        const { fields, ...rest } = await proper()
        return {
          ...rest,
          fields: [
            ...fields.filter(([name]) => name !== 'client_id'),
            ['client_id', clients[other].id],
          ],
        }
      },
      'of another': async () => ({ fields: await asserted({}) }),
      'wrong audience': async () => ({
        fields: isMachine
          ? await world.assert(client, { aud: `${world.issuer}/token` })
          : await asserted({}),
      }),
      expired: async () => ({
        fields: await world.assert(isMachine ? client : 'robot', { exp: 1, iss: id, sub: id }),
      }),
      replayed: async () => ({ fields: client === 'narrow' ? used.ofNarrow : used.assertion }),
      unsigned: async () => ({
        fields: (await world.assert('robot', { iss: id, sub: id })).map(([name, value]) => [
          name,
          name === 'client_assertion' ? value.replace(/[^.]+$/, '') : value,
        ]),
      }),
      hostile: async () => ({
        fields: [
          ['\u0000hostile', isMachine ? 'client_assertion' : 'client_id'],
          ...(isMachine ? named : []),
        ],
      }),
      'wrong secret': async () => ({ fields: [...named, ['client_secret', hostile.slice(0, 80)]] }),
    }
    return authentication === 'proper' ? proper() : wrong[authentication]()
  }

  function narrowing({ scope, resource, hostile }: TokenPlan): string[] {
    const { proxy } = world
    const scopes: Readonly<Record<TokenPlan['scope'], string[]>> = {
      absent: [],
      empty: [''],
      ocr: ['ocr_api_access'],
      archive: ['ocr_api_access archive:read'],
      openid: ['openid'],
      root: ['ocr_api_access root'],
      hostile: [hostile],
    }
    const unknown = 'https://elsewhere.example'
    const resources: Readonly<Record<TokenPlan['resource'], string[]>> = {
      absent: [],
      empty: [''],
      proxy: [proxy],
      archive: [ARCHIVE],
      'proxy and archive': [proxy, ARCHIVE],
      'proxy and unknown': [proxy, unknown],
      unknown: [unknown],
      fragment: [`${proxy}#x`],
      hostile: [hostile],
    }
    const pairOf = (name: string, word: string) => (value: string) =>
      `${name}=${word === 'hostile' ? value : encodeURIComponent(value)}`
    return [
      ...scopes[scope].map(pairOf('scope', scope)),
      ...resources[resource].map(pairOf('resource', resource)),
    ]
  }

  return async function createRequest(
    wanted: TokenPlan,
    reasons: readonly string[],
    lane: Lane,
  ): Promise<RawRequest> {
    // A good code is not spent on a request that is wrong in several ways.
    const plan: TokenPlan =
      reasons.length > 1 && wanted.credential !== 'absent'
        ? { ...wanted, credential: 'made up' }
        : wanted
    const { hostile, noise, verifier, redirectUri } = plan
    const grant = grantOf(plan)
    const minted = await mintCredential(plan, lane)
    const { fields, authorization = [], query } = await authenticate(plan)
    const field = CREDENTIAL_FIELD[grant] ?? 'code'
    const encoded = (name: string, value: string) => `${name}=${encodeURIComponent(value)}`
    const credential =
      minted &&
      `${field}=${plan.credential === 'hostile' ? hostile : encodeURIComponent(minted.value)}`
    const verifiers = {
      right: minted?.verifier ?? '',
      wrong: 'w'.repeat(43),
      absent: '',
      'of one letter': 'a',
    }
    const redirects = { right: CALLBACK, another: `${CALLBACK}/`, absent: '' }
    const isCode = grant === 'authorization_code'
    const grantPair = `grant_type=${plan.grant === 'hostile' ? hostile : encodeURIComponent(grant)}`
    const pairs = [
      ...fields.map(([name, value]) =>
        name === '\u0000hostile' ? `${value}=${hostile}` : encoded(name, value),
      ),
      grantPair,
      ...(credential === undefined ? [] : [credential]),
      ...(isCode
        ? [
            encoded('code_verifier', verifiers[verifier]),
            encoded('redirect_uri', redirects[redirectUri]),
          ]
        : []),
      ...narrowing(plan),
    ]
    if (noise === 'an unknown parameter') pairs.push('x_colour=%FF', 'x_colour=blue', 'password=x')
    if (noise === 'rubbish') pairs.unshift('', '=', '%zz', '&', '=%FF')
    if (noise === 'a repeated grant_type') pairs.push(grantPair)
    if (noise === 'a repeated scope') pairs.push('scope=ocr_api_access', 'scope=ocr_api_access')
    if (noise === 'a repeated credential')
      pairs.push(credential ?? 'code=x', credential ?? 'code=x')
    if (noise === 'a huge body') pairs.push(`x=${'b'.repeat(60_000)}`)
    const mediaTypes: Partial<Record<TokenPlan['noise'], string>> = {
      JSON: 'application/json',
      'no media type': '',
      'a media type in capitals': FORM.toUpperCase(),
    }
    const mediaType = mediaTypes[noise] ?? FORM
    const proofs = await proofsOf(plan)
    const address = [
      query,
      noise === 'a harmless address' ? 'scope=root&resource=x&code=x' : undefined,
    ].filter((part) => part !== undefined)
    return {
      path: address.length === 0 ? '/token' : `/token?${address.join('&')}`,
      headers: {
        ...(mediaType && { 'content-type': mediaType }),
        ...(authorization.length > 0 && { Authorization: authorization }),
        ...(proofs.length > 0 && { DPoP: proofs }),
      },
      body: pairs.join('&'),
    }
  }
}
