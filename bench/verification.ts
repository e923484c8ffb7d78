import { verify as verifySignature, createPublicKey } from 'node:crypto'
import { systemClock } from '../src/kernel/clock.ts'
import { createTokenVerifier } from '../src/tokens/verify.ts'
import { freePorts } from '../src/cli/free-ports.ts'
import { median } from './median.ts'
import { startTestIssuer } from './tokens.ts'

/**
 * What it costs to verify a token that was not seen before, beside its one RSA signature alone. By turns, in one process,
 * each token once in a round. Usage: `node bench/verification.ts`
 */
const TOKENS = 2000
const ROUNDS = 60
const AUDIENCE = 'http://localhost:8080'

const [port = 0] = await freePorts(1)
const issuer = await startTestIssuer(port)
const tokens = await issuer.issueTokens(TOKENS, AUDIENCE)
const key = createPublicKey(issuer.publicKeyPem)
const verify = createTokenVerifier(
  { find: () => key, fetch: () => Promise.resolve(key) },
  {
    issuer: issuer.url,
    audiences: [AUDIENCE],
    clockSkewSeconds: 30,
    senderConstrained: 'checked_by_caller',
  },
  systemClock,
)

const signatureOnly = tokens.map((token) => {
  const at = token.lastIndexOf('.')
  return {
    signed: Buffer.from(token.slice(0, at)),
    signature: Buffer.from(token.slice(at + 1), 'base64url'),
  }
})

const microseconds: { whole: number[]; signature: number[] } = { whole: [], signature: [] }
for (let round = 0; round < ROUNDS; round += 1) {
  const from = performance.now()
  for (const token of tokens) await verify(token)
  const between = performance.now()
  for (const { signed, signature } of signatureOnly) {
    if (!verifySignature('RSA-SHA256', signed, key, signature)) throw new Error('a bad signature')
  }
  microseconds.whole.push(((between - from) * 1000) / TOKENS)
  microseconds.signature.push(((performance.now() - between) * 1000) / TOKENS)
}
issuer.close()

const ratios = microseconds.whole.map((each, i) => each / (microseconds.signature[i] ?? Number.NaN))
const show = (values: readonly number[]) =>
  `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`
process.stdout.write(
  [
    `the whole verification: ${show(microseconds.whole)} µs`,
    `its RSA signature alone: ${show(microseconds.signature)} µs`,
    `ratio: ${show(ratios)}`,
    '',
  ].join('\n'),
)
