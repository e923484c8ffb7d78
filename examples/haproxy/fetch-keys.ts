import { createPublicKey } from 'node:crypto'
import { mkdir, rename, writeFile } from 'node:fs/promises'

const { ISSUER = 'http://localhost:9000' } = process.env
const folder = new URL('keys/', import.meta.url)

type Jwk = { kty: string; kid: string; n: string; e: string }

/**
 * Writes each key of the JWKS as PEM, and the rules that verify with it. Whoever calls this reloads HAProxy afterwards. When the keys cannot be had, nothing changes.
 */
const response = await fetch(`${ISSUER}/jwks`, {
  redirect: 'error',
  signal: AbortSignal.timeout(5000),
})
if (!response.ok) throw new Error(`${response.url} answered ${response.status}`)
const { keys }: { keys: Jwk[] } = JSON.parse(await response.text())
const signing = keys.filter(({ kty, kid }) => kty === 'RSA' && /^[\w-]{1,128}$/.test(kid))
if (signing.length === 0) throw new Error('the JWKS has no usable key')

await mkdir(folder, { recursive: true })
for (const { kty, kid, n, e } of signing) {
  const key = createPublicKey({ key: { kty, n, e }, format: 'jwk' })
  await replace(`${kid}.pem`, key.export({ type: 'spki', format: 'pem' }))
}
// HAProxy reads key files at its start, and only those that a rule names.
const rules = signing.map(
  ({ kid }) =>
    `  http-request set-var(txn.verified) var(txn.token),jwt_verify(txn.alg,"keys/${kid}.pem") if { var(txn.alg) -m str RS256 } { var(txn.kid) -m str -- ${kid} }\n`,
)
await replace(
  'keys.cfg',
  `defaults keys
  mode http
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.kid) var(txn.token),jwt_header_query('$.kid')
${rules.join('')}`,
)

async function replace(name: string, content: string | Buffer): Promise<void> {
  await writeFile(new URL(`${name}.new`, folder), content)
  await rename(new URL(`${name}.new`, folder), new URL(name, folder))
}
