// Reads an image with OpenAI's SDK. The SDK asks for the token before each request, and repeats 429 and 503 by itself.
import { readFile } from 'node:fs/promises'
import OpenAI from 'openai'

const {
  ISSUER = 'http://localhost:9000',
  PROXY = 'http://localhost:8080',
  CLIENT_ID = '',
  CLIENT_SECRET = '',
} = process.env

let token = ''
let goodUntilMs = 0

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

const openai = new OpenAI({ baseURL: `${PROXY}/v1`, apiKey: accessToken, maxRetries: 4 })
const image = await readFile(process.argv[2] ?? '', 'base64')
const answer = await openai.chat.completions.create({
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
console.log(answer.choices[0]?.message.content)
