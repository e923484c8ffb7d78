import { expect, test } from 'vitest'
import { ConfigError } from '../../src/kernel/errors.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'

const nobody = { isTls: false, username: undefined, password: undefined }

test('one server, with and without port, database and IPv6', () => {
  const at = (host: string, port: number, database = 0) => ({
    ...nobody,
    kind: 'standalone',
    address: { host, port },
    database,
  })
  expect(parseRedisUrl('redis://cache')).toEqual(at('cache', 6379))
  expect(parseRedisUrl('redis://cache/')).toEqual(at('cache', 6379))
  expect(parseRedisUrl('redis://10.0.0.1:7000/3')).toEqual(at('10.0.0.1', 7000, 3))
  expect(parseRedisUrl('redis://[::1]:7000')).toEqual(at('::1', 7000))
  expect(parseRedisUrl('redis://[::1]')).toEqual(at('::1', 6379))
})

test('Sentinels with the name of their master, and a Cluster', () => {
  const two = [
    { host: 'a', port: 1 },
    { host: '::1', port: 2 },
  ]
  expect(parseRedisUrl('redis+sentinel://a:1,[::1]:2/main')).toEqual({
    ...nobody,
    kind: 'sentinel',
    sentinels: two,
    masterName: 'main',
  })
  expect(parseRedisUrl('redis+cluster://a:1,[::1]:2')).toEqual({
    ...nobody,
    kind: 'cluster',
    nodes: two,
  })
})

test('TLS and credentials go with each form', () => {
  for (const [scheme, path] of [
    ['rediss', ''],
    ['rediss+sentinel', '/main'],
    ['rediss+cluster', ''],
  ]) {
    const target = parseRedisUrl(`${scheme}://us%40er:p%3A%2Fw:d@a:1${path}`)
    expect(target).toMatchObject({ isTls: true, username: 'us@er', password: 'p:/w:d' })
  }
  expect(parseRedisUrl('redis://:secret@a')).toMatchObject({
    username: undefined,
    password: 'secret',
  })
})

test.each([
  '',
  'cache:6379',
  'http://cache',
  'redis://',
  'redis://a:0',
  'redis://a:65536',
  'redis://a:1,b:2',
  'redis://a/x',
  'redis://a?db=1',
  'redis://us%zz:top-secret@a',
  'redis://top-secret@a@b',
  'redis+sentinel://a:1',
  'redis+sentinel://a:1/',
  'redis+sentinel://a/main',
  'redis+cluster://a:1,',
  'redis+cluster://a:1/0',
  'redis+other://top-secret@a:1',
])('%j is refused without being quoted', (url) => {
  const parse = () => parseRedisUrl(url)
  expect(parse).toThrow(ConfigError)
  expect(parse).not.toThrow(/secret/)
})
