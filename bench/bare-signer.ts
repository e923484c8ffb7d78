import { generateKeyPair, randomUUID, sign } from 'node:crypto'
import { createServer } from 'node:http'
import { promisify } from 'node:util'

/**
 * The limit: a server that reads nothing of a token request but its end, and signs the claims of a token (RS256, 2048 bits)
 * on libuv's threads. Usage: `node bare-signer.ts <port>`
 */
const [port = ''] = process.argv.slice(2)
const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 })
const signAsync = promisify(sign)
const header = encode({ alg: 'RS256', typ: 'at+jwt', kid: 'bench' })

createServer((req, res) => {
  req.resume()
  req.once('end', () => {
    const iat = Math.floor(Date.now() / 1000)
    const claims = {
      iss: 'https://issuer.example',
      aud: 'https://ocr.example',
      iat,
      exp: iat + 900,
    }
    const who = { sub: 'bench', client_id: 'bench', jti: randomUUID(), scope: 'ocr_api_access' }
    const input = `${header}.${encode({ ...claims, ...who })}`
    void signAsync('sha256', Buffer.from(input), privateKey).then((signature) => {
      res.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
      const access_token = `${input}.${signature.toString('base64url')}`
      res.end(JSON.stringify({ access_token, token_type: 'Bearer', expires_in: 900 }))
    })
  })
}).listen(Number(port), '127.0.0.1')

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
