import * as fc from 'fast-check'
import { DEVICE_CODE_GRANT } from '../../src/registry/client-metadata.ts'
import { anyCharacter } from './any-character.ts'

/**
 * What one generated token request is to be like, in the words of the rules rather than in bytes: so that a model can say
 * whether it may succeed, and a failure reads like a story.
 */
export type TokenPlan = {
  client: ClientName
  authentication: Authentication
  grant: Grant
  /** What is presented for the grant: a code, a device code or a refresh token. */
  credential: Credential
  signIn: SignInPlan
  verifier: 'right' | 'wrong' | 'absent' | 'of one letter'
  redirectUri: 'right' | 'another' | 'absent'
  scope: Scope
  resource: Resource
  proof: Proof
  noise: Noise
  hostile: string
}
export type SignInPlan = {
  /** The client that the person signed in to is that of the request, or not. */
  client: 'same' | 'another'
  person: 'mei' | 'kim'
  asks: 'default' | 'archive' | 'both'
  /** Whether the code, or the refresh token, was bound to a key of DPoP. */
  isBound: boolean
}

export type ClientName =
  | 'app'
  | 'bound'
  | 'robot'
  | 'narrow'
  | 'secretive'
  | 'disabled'
  | 'suspended'
  | 'unknown'
export type Authentication =
  | 'proper'
  | 'none'
  | 'twice'
  | 'two ways'
  | 'two headers'
  | 'in the address'
  | 'another id'
  | 'of another'
  | 'wrong audience'
  | 'expired'
  | 'replayed'
  | 'unsigned'
  | 'hostile'
  | 'wrong secret'
export type Grant =
  | 'client_credentials'
  | 'authorization_code'
  | 'refresh_token'
  | 'urn:ietf:params:oauth:grant-type:device_code'
  | 'other'
  | 'hostile'
export type Credential = 'fresh' | 'used' | 'of another kind' | 'hostile' | 'made up' | 'absent'
export type Scope = 'absent' | 'empty' | 'ocr' | 'archive' | 'openid' | 'root' | 'hostile'
export type Resource =
  | 'absent'
  | 'empty'
  | 'proxy'
  | 'archive'
  | 'proxy and archive'
  | 'proxy and unknown'
  | 'unknown'
  | 'fragment'
  | 'hostile'
export type Proof =
  | 'absent'
  | 'good'
  | 'of another key'
  | 'replayed'
  | 'for another address'
  | 'for another method'
  | 'unsigned'
  | 'with a private key'
  | 'two'
  | 'hostile'
export type Noise =
  | 'none'
  | 'an unknown parameter'
  | 'rubbish'
  | 'a harmless address'
  | 'a repeated grant_type'
  | 'a repeated scope'
  | 'a repeated credential'
  | 'JSON'
  | 'no media type'
  | 'a media type in capitals'
  | 'a huge body'

/** The first of the words is the harmless one: fast-check shrinks towards it. */
const mostly = <Word extends string>(harmless: number, first: Word, ...others: Word[]) =>
  fc.oneof(
    { weight: harmless, arbitrary: fc.constant(first) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  )

/** A value as it stands in a form, with whatever bytes: percent-encoded, in the raw, or neither. */
export const hostileText = fc.oneof(
  fc.constantFrom(
    '__proto__',
    'constructor',
    '%00',
    '%FF%FE',
    '%C0%AF',
    '%ED%A0%80',
    '%',
    '%zz',
    '[]',
    '{}',
    'null',
    '..%2F..',
    '%27%20OR%201=1--',
    '%0d%0aset-cookie:x=y',
    '%3Cscript%3Ealert(1)%3C/script%3E',
    'eyJhbGciOiJub25lIn0.e30.',
    'bnVsbA.bnVsbA.AA',
    'a.b.c.d.e',
  ),
  fc.string({ unit: anyCharacter, minLength: 1, maxLength: 40 }).map(encode),
  fc
    .uint8Array({ minLength: 1, maxLength: 40 })
    .map((bytes) => [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')),
  fc.integer({ min: 1, max: 40_000 }).map((length) => 'a'.repeat(length)),
)

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

/** Who asks for what: mostly what the client may ask for. */
const clientAndGrant = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom<[ClientName, Grant]>(
      ['narrow', 'client_credentials'],
      ['secretive', 'client_credentials'],
      ['secretive', 'client_credentials'],
      ['robot', 'client_credentials'],
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom<[ClientName, Grant]>(
      ['robot', 'refresh_token'],
      ...(['app', 'bound'] as const).flatMap((client): [ClientName, Grant][] => [
        [client, 'authorization_code'],
        [client, 'authorization_code'],
        [client, 'refresh_token'],
        [client, DEVICE_CODE_GRANT],
      ]),
    ),
  },
  {
    weight: 5,
    arbitrary: fc.tuple(
      fc.constantFrom<ClientName>(
        ...(['app', 'bound', 'robot', 'narrow', 'secretive'] as const),
        ...(['disabled', 'suspended', 'unknown'] as const),
      ),
      fc.constantFrom<Grant>(
        ...(['client_credentials', 'authorization_code', 'refresh_token'] as const),
        ...([DEVICE_CODE_GRANT, 'other', 'hostile'] as const),
      ),
    ),
  },
)

/** One request. Most of what it says is in order, so that one thing alone is wrong often enough. */
export const tokenPlan: fc.Arbitrary<TokenPlan> = fc
  .record({
    clientAndGrant,
    authentication: fc.oneof(
      { weight: 900, arbitrary: fc.constant<Authentication>('proper') },
      {
        weight: 99,
        arbitrary: fc.constantFrom<Authentication>(
          ...(['none', 'twice', 'two ways', 'two headers', 'in the address'] as const),
          ...(['another id', 'of another', 'wrong audience', 'expired'] as const),
          ...(['replayed', 'unsigned', 'hostile'] as const),
        ),
      },
      // It costs argon2.
      { weight: 1, arbitrary: fc.constant<Authentication>('wrong secret') },
    ),
    credential: mostly<Credential>(
      6,
      ...(['fresh', 'used', 'of another kind', 'hostile', 'made up', 'absent'] as const),
    ),
    signIn: fc.record({
      client: mostly(6, 'same', 'another'),
      person: fc.constantFrom('mei', 'kim'),
      asks: fc.constantFrom('default', 'archive', 'both'),
      isBound: fc.boolean(),
    }),
    verifier: mostly(9, 'right', 'wrong', 'absent', 'of one letter'),
    redirectUri: mostly(9, 'right', 'another', 'absent'),
    scope: mostly<Scope>(2, 'absent', 'empty', 'ocr', 'archive', 'openid', 'root', 'hostile'),
    resource: mostly<Resource>(
      2,
      ...(['absent', 'empty', 'proxy', 'archive', 'proxy and archive'] as const),
      ...(['proxy and unknown', 'unknown', 'fragment', 'hostile'] as const),
    ),
    proof: fc.oneof(
      { weight: 4, arbitrary: fc.constant<Proof>('absent') },
      { weight: 4, arbitrary: fc.constant<Proof>('good') },
      {
        weight: 1,
        arbitrary: fc.constantFrom<Proof>(
          ...(['of another key', 'replayed', 'for another address', 'for another method'] as const),
          ...(['unsigned', 'with a private key', 'two', 'hostile'] as const),
        ),
      },
    ),
    noise: mostly<Noise>(
      6,
      ...(['none', 'an unknown parameter', 'rubbish', 'a harmless address'] as const),
      ...(['a repeated grant_type', 'a repeated scope', 'a repeated credential'] as const),
      ...(['JSON', 'no media type', 'a media type in capitals', 'a huge body'] as const),
    ),
    hostile: hostileText,
  })
  .map(({ clientAndGrant: [client, grant], ...rest }) => ({ client, grant, ...rest }))
