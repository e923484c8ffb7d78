import { isIP } from 'node:net'
import { z } from 'zod'

// `form` tells people what a value looks like, in the JSON Schema and in docs/configuration.md.

export const wholeNumber = (min: number, max = Number.MAX_SAFE_INTEGER) =>
  z.int('must be a whole number').min(min).max(max)

/** Never printed, and in the environment also given as a file (`…_FILE`). */
export const secret = () => z.string().min(1).meta({ secret: true, form: 'text' })

/** What a header can have: `fetch` quotes what it refuses. */
export const headerSecret = () =>
  secret().regex(/^[\x20-\x7E]*$/, 'has characters that no header can have')

/** 32 bytes in base64, with either alphabet. */
export const sealingKey = () =>
  z
    .string()
    .regex(/^[A-Za-z0-9+/_-]{43}=?$/, 'must be 32 bytes in base64')
    .meta({ secret: true, form: '32 bytes in base64' })

export const filePath = () => z.string().min(1).meta({ form: 'path' })

export const listen = z
  .string()
  .regex(/^(\[[0-9A-Fa-f:.]+\]|[^:[\]\s/]+):\d{1,5}$/, 'must be HOST:PORT or [IPV6]:PORT')
  .refine(
    (text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535,
    'the port is above 65535',
  )
  .meta({ form: '`HOST:PORT`' })

const httpUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .meta({ form: 'URL' })

/** Where something is fetched from or sent to: `fetch` takes no credentials in a URL, and quotes them when it says so. */
export const fetchUrl = httpUrl
  .refine(
    (text) => {
      const { username, password } = URL.parse(text) ?? {}
      return !username && !password
    },
    { error: 'has a name or password in it' },
  )
  .meta({ form: 'URL' })

/** An identifier that clients compare letter by letter (RFC 8414 §2, RFC 9728 §1.2). */
export const origin = httpUrl
  .refine((text) => URL.parse(text)?.origin === text, {
    error: 'must be scheme, host and port alone, without a trailing slash',
  })
  .meta({ form: 'URL without a path' })

export const cidr = z
  .string()
  .refine(isCidr, 'must be an IP address or a CIDR block')
  .meta({ form: 'CIDR block' })

export const scopeToken = z
  .string()
  .regex(/^[\x21\x23-\x5B\x5D-\x7E]+$/, 'is not a scope (RFC 6749 §3.3)')
  .meta({ form: 'scope' })

/** Of one listener. */
export const tls = z.strictObject({
  cert: filePath().optional().describe('PEM file of its certificate and the intermediates'),
  key: filePath().optional().describe('PEM file of its private key'),
  clientCa: filePath()
    .optional()
    .describe('PEM file of the authorities whose client certificates it asks for'),
})

function isCidr(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return (
    prefix === undefined ||
    (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128))
  )
}
