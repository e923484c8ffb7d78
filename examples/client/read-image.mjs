// Reads an image through Gatehouse, with nothing but Node's fetch. A token is kept until shortly before it expires.
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

const {
  ISSUER = 'http://localhost:9000',
  PROXY = 'http://localhost:8080',
  CLIENT_ID = '',
  CLIENT_SECRET = '',
} = process.env

const ATTEMPTS = 5

let token = ''
let goodUntilMs = 0

/** An access token: the one at hand, or another when that is about to expire. */
async function accessToken() {
  if (Date.now() < goodUntilMs) return token
  const response = await fetch(`${ISSUER}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${CLIENT_ID}:${CLIENT_SECRET}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  const answer = await response.json()
  token = answer.access_token
  goodUntilMs = Date.now() + (answer.expires_in - 60) * 1000
  return token
}

/** Sends JSON. A token that is no longer good is replaced once; what may be repeated is, when Retry-After says so. */
async function post(path, body) {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(`${PROXY}${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await accessToken()}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
    })
    if (response.ok) return response
    if (attempt === ATTEMPTS || !(await prepareRetry(response, attempt))) {
      throw new Error(`${response.status} ${await response.text()}`)
    }
  }
}

async function prepareRetry({ status, headers }, attempt) {
  if (status === 401 && attempt === 1) {
    goodUntilMs = 0 // Revoked, or its key is gone: the credentials may still be good.
    return true
  }
  const retryAfter = headers.get('retry-after')
  if ((status !== 429 && status !== 503) || retryAfter === null) return false
  await sleep(Number(retryAfter) * 1000)
  return true
}

const image = await readFile(process.argv[2] ?? '', 'base64')
const response = await post('/v1/chat/completions', {
  model: 'tencent/HunyuanOCR',
  messages: [
    {
      role: 'user',
      content: [
        { type: 'image_url', image_url: { url: `data:image/jpeg;base64,${image}` } },
        { type: 'text', text: 'Extract the text in the image.' },
      ],
    },
  ],
})
const answer = await response.json()
console.log(answer.choices[0].message.content)
