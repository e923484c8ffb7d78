import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, test } from 'vitest'
import { awaitApproval, beginDeviceLogin, type DeviceLogin } from '../../src/cli/device-login.ts'

type Said = [status: number, body: object] | 'nothing'
const pending: Said = [400, { error: 'authorization_pending' }]
const slowDown: Said = [400, { error: 'slow_down' }]
const granted: Said = [
  200,
  { access_token: 'a', token_type: 'Bearer', expires_in: 900, refresh_token: 'r' },
]

let stop: (() => Promise<void>) | undefined
afterEach(async () => stop?.())

/** An issuer that says these things at its token endpoint, one after the other; the last one for ever. */
async function startIssuer(says: Said[], device: object = {}) {
  const asked: URLSearchParams[] = []
  const server = createServer((req, res) => {
    void (async () => {
      const json = (status: number, body: object) =>
        res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
      const form = new URLSearchParams(await text(req))
      if (req.url === '/device/auth') {
        asked.push(form)
        const answer = {
          device_code: 'd',
          user_code: 'WDJB-MJHT',
          verification_uri: `${url}/device`,
          expires_in: 60,
          ...device,
        }
        return json(200, answer)
      }
      if (req.url !== '/token') {
        return json(200, {
          token_endpoint: `${url}/token`,
          device_authorization_endpoint: `${url}/device/auth`,
        })
      }
      asked.push(form)
      const next = says.length > 1 ? says.shift() : says[0]
      if (next === undefined || next === 'nothing') return req.socket.destroy()
      return json(...next)
    })()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const url = `http://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`
  stop = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return { url, asked }
}

const begin = (url: string) => beginDeviceLogin(url, { clientId: 'cli', scope: 'openid' })

/** Waits in no time at all; gives how long each wait would have been, in seconds. */
function waiting() {
  let now = 0
  const pauses: number[] = []
  const left: number[] = []
  return {
    pauses,
    left,
    clock: () => now,
    onWait: (seconds: number) => void left.push(seconds),
    pause: async (ms: number) => {
      pauses.push(ms / 1000)
      now += ms
    },
  }
}

describe('a device login (RFC 8628)', () => {
  test('asks with its client and scope, and falls back to the short address and to five seconds', async () => {
    const { url, asked } = await startIssuer([granted])
    expect(await begin(url)).toEqual({
      clientId: 'cli',
      tokenEndpoint: `${url}/token`,
      deviceCode: 'd',
      userCode: 'WDJB-MJHT',
      verificationUri: `${url}/device`,
      verificationUriComplete: `${url}/device`,
      expiresInSeconds: 60,
      intervalSeconds: 5,
    } satisfies DeviceLogin)
    expect(Object.fromEntries(asked[0] ?? [])).toEqual({ client_id: 'cli', scope: 'openid' })
  })

  test('waits before it asks, for the interval, and longer for good after each slow_down', async () => {
    const { url, asked } = await startIssuer([pending, slowDown, pending, slowDown, granted], {
      interval: 2,
    })
    const wait = waiting()
    expect(await awaitApproval(await begin(url), wait)).toMatchObject({ refresh_token: 'r' })
    expect(wait.pauses).toEqual([2, 2, 7, 7, 12])
    expect(wait.left).toEqual([60, 58, 56, 49, 42])
    expect(Object.fromEntries(asked[1] ?? [])).toEqual({
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: 'd',
      client_id: 'cli',
    })
  })

  test('outlives an issuer that is away, asking half as often each time', async () => {
    const away: Said = [503, { error: 'temporarily_unavailable' }]
    const { url } = await startIssuer(['nothing', away, pending, granted], { interval: 1 })
    const wait = waiting()
    await awaitApproval(await begin(url), wait)
    expect(wait.pauses).toEqual([1, 2, 4, 4])
  })

  test.each([
    ['access_denied', 'the sign-in was refused'],
    ['expired_token', 'nobody approved the sign-in in time'],
    ['invalid_client', 'the issuer refuses: invalid_client'],
  ])('ends with %s', async (error, message) => {
    const { url } = await startIssuer([[400, { error }]])
    await expect(awaitApproval(await begin(url), waiting())).rejects.toThrow(message)
  })

  test('ends when its time is over, whatever the issuer goes on to say', async () => {
    const { url } = await startIssuer([pending], { expires_in: 12 })
    const wait = waiting()
    await expect(awaitApproval(await begin(url), wait)).rejects.toThrow('in time')
    expect(wait.pauses).toEqual([5, 5, 2])
  })

  test('shows nothing that would steer the terminal', async () => {
    const { url } = await startIssuer([pending], { user_code: 'A\u001B[2J' })
    await expect(begin(url)).rejects.toThrow('is not the issuer')
  })
})
