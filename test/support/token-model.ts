import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import type { ClientName, Grant, TokenPlan } from './token-plans.ts'
import { ARCHIVE, type Lane, type TokenWorld } from './token-world.ts'

/** What a token request may lead to by the rules: refused for a reason, or a token that says exactly this. */
export type Expectation = {
  /** Each of them is enough to refuse it; without any it must succeed. */
  reasons: readonly string[]
  /** Where both outcomes keep the rules. */
  isOpen: boolean
  token: ExpectedToken
}
export type ExpectedToken = {
  sub: string
  client_id: string
  aud: string
  scope: string
  jkt: string | undefined
  refreshes: boolean
  identifies: boolean
}

const OTHER_GRANTS = [
  'password',
  'implicit',
  'urn:ietf:params:oauth:grant-type:token-exchange',
  'urn:ietf:params:oauth:grant-type:jwt-bearer',
  'urn:openid:params:grant-type:ciba',
  'Client_Credentials',
] as const

const SIGN_IN: readonly Grant[] = ['authorization_code', 'refresh_token', DEVICE_CODE_GRANT]
const GRANTS: Readonly<Record<ClientName, readonly Grant[]>> = {
  app: SIGN_IN,
  bound: SIGN_IN,
  robot: ['client_credentials', 'refresh_token'],
  narrow: ['client_credentials'],
  secretive: ['client_credentials'],
  disabled: [],
  suspended: [],
  unknown: [],
}
const SCOPES: Partial<Record<TokenPlan['scope'], readonly string[]>> = {
  ocr: ['ocr_api_access'],
  archive: ['ocr_api_access', 'archive:read'],
  openid: ['openid'],
  root: ['ocr_api_access', 'root'],
}

export function grantOf({ grant, hostile }: TokenPlan): string {
  return grant === 'other' ? (OTHER_GRANTS[hostile.length % OTHER_GRANTS.length] ?? '') : grant
}

/** Whose code or refresh token is presented. */
export function ownerOf({ client, grant, signIn }: TokenPlan): 'app' | 'bound' | 'robot' {
  if (client === 'robot' && grant === 'refresh_token' && signIn.client === 'same') return 'robot'
  if (client === 'bound') return signIn.client === 'same' ? 'bound' : 'app'
  return client === 'app' && signIn.client === 'another' ? 'bound' : 'app'
}

/** The rules of RFC 6749, 7636, 8628, 8707 and 9449 and our own, put once more and in other words than the issuer does. */
export function expectationOf(plan: TokenPlan, world: TokenWorld, lane: Lane): Expectation {
  const { client, grant, credential, signIn, scope, resource, proof, noise } = plan
  const { proxy, keys } = world
  const owner = ownerOf(plan)
  const isOwn = grant === 'client_credentials' || owner === 'robot'
  const needsCredential = grant !== 'client_credentials'
  const isCode = grant === 'authorization_code'
  const narrows = grant === 'client_credentials' || grant === 'refresh_token'

  const granted = {
    default: [proxy],
    archive: [ARCHIVE],
    both: owner === 'robot' ? [ARCHIVE] : [proxy, ARCHIVE],
  }[signIn.asks]
  const named = { proxy, archive: ARCHIVE }[resource as string]
  const aud = named ?? (grant === 'client_credentials' || granted.includes(proxy) ? proxy : ARCHIVE)
  const atResource = aud === proxy ? ['ocr_api_access'] : ['ocr_api_access', 'archive:read']
  const ofClient =
    client === 'narrow' || client === 'secretive'
      ? ['ocr_api_access']
      : ['ocr_api_access', 'archive:read']
  const ofPerson =
    isOwn || signIn.person === 'mei' ? ['ocr_api_access', 'archive:read'] : ['ocr_api_access']
  const signedInWith =
    signIn.asks === 'default'
      ? ['openid', 'ocr_api_access']
      : ['openid', 'ocr_api_access', 'archive:read']
  const ofGrant = isOwn
    ? atResource.filter((each) => ofClient.includes(each))
    : signedInWith.filter((each) => each === 'openid' || ofPerson.includes(each))
  const narrowed = narrows ? SCOPES[scope] : undefined
  const kept = ofGrant.filter((each) => narrowed?.includes(each) ?? true)
  const words = [
    ...kept.filter((each) => each === 'openid' && aud === proxy),
    ...kept.filter((each) => atResource.includes(each)),
  ]
  const isBound =
    (isCode && signIn.isBound) ||
    (grant === 'refresh_token' && owner !== 'robot' && (signIn.isBound || owner === 'bound'))
  const signed = { good: keys.own.jkt, 'of another key': keys.others.jkt }[proof as string]
  const isSeveral = resource.includes(' and ')

  const rules: Record<string, boolean> = {
    'the client is not who it says': plan.authentication !== 'proper',
    'the client may not use the grant': !GRANTS[client].includes(grant),
    'the body is no form': ['JSON', 'no media type', 'a huge body'].includes(noise),
    'a parameter is repeated':
      noise === 'a repeated grant_type' ||
      (noise === 'a repeated scope' && narrows) ||
      (noise === 'a repeated credential' && needsCredential),
    'what is presented is not good': needsCredential && credential !== 'fresh',
    'it was given to another client': needsCredential && owner !== client,
    'the verifier is wrong': isCode && plan.verifier !== 'right',
    'the redirect URI is another': isCode && plan.redirectUri !== 'right',
    'the scope is wider': narrowed?.some((each) => !ofGrant.includes(each)) === true,
    'the scope is unknown': narrows && scope === 'hostile' && !isBlank(plan.hostile),
    'the resource is unknown': ['unknown', 'fragment', 'hostile', 'proxy and unknown'].includes(
      resource,
    ),
    'the resource was not granted':
      needsCredential && named !== undefined && !granted.includes(named),
    'the resource is not the client’s': client === 'narrow' && resource === 'archive',
    'more than one resource': isSeveral,
    'the proof is no good': proof !== 'absent' && signed === undefined,
    'the client needs a proof': client === 'bound' && proof === 'absent',
    'it is bound to another key': isBound && signed !== keys.own.jkt,
  }
  return {
    reasons: Object.keys(rules).filter((rule) => rules[rule] === true),
    isOpen:
      (narrows && scope === 'hostile' && isBlank(plan.hostile)) ||
      ['a repeated scope', 'a repeated credential'].includes(noise),
    token: {
      sub: isOwn ? world.clients[client].id : lane.subs[signIn.person],
      client_id: world.clients[client].id,
      aud,
      scope: words.join(' '),
      jkt: signed,
      refreshes: client === 'robot' || needsCredential,
      identifies: !isOwn && (narrowed?.includes('openid') ?? true),
    },
  }
}

const isBlank = (encoded: string): boolean => /^(%20|\+|%09)*$/.test(encoded)
