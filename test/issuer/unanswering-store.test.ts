import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { startGatehouse, type Gatehouse } from '../support/gatehouse.ts'

let gatehouse: Gatehouse
let client: { clientId: string; clientSecret: string }
let whole: Store
beforeAll(async () => {
  gatehouse = await startGatehouse('http://127.0.0.1:9')
  whole = { ...gatehouse.store }
  client = await gatehouse.createClient({ client_credentials_refresh: true })
})
afterAll(() => gatehouse.close())

const noAnswer = async (): Promise<never> => {
  throw new AppError('temporarily_unavailable', 'The store does not answer.', {
    headers: { 'retry-after': '1' },
  })
}

async function answerOf(parameters?: Record<string, string>) {
  const response = await gatehouse.requestToken(client, parameters)
  const { error } = (await response.json()) as { error?: string }
  return [response.status, error, response.headers.get('retry-after')]
}

describe('a store that stops answering in the middle of a token request makes it a 503, and no 500', () => {
  test('when it is asked what was revoked of whom a refresh token speaks for', async () => {
    const response = await gatehouse.requestToken(client)
    const { refresh_token = '' } = (await response.json()) as { refresh_token?: string }
    gatehouse.store.get = (collection, id) =>
      collection.name === 'revocation-cuts' ? noAnswer() : whole.get(collection, id)

    const fields = { grant_type: 'refresh_token', refresh_token }
    expect(await answerOf(fields)).toEqual([503, 'temporarily_unavailable', '1'])
    gatehouse.store.get = whole.get
    expect(await answerOf(fields)).toEqual([200, undefined, null])
  })

  test('when the token is added to its grant', async () => {
    let writes = 0
    gatehouse.store.commit = (collection, changes) => {
      if (collection.name === 'oidc/Grant') writes += 1
      return writes > 1 ? noAnswer() : whole.commit(collection, changes)
    }
    expect(await answerOf()).toEqual([503, 'temporarily_unavailable', '1'])
    gatehouse.store.commit = whole.commit
    expect(await answerOf()).toEqual([200, undefined, null])
  })
})
