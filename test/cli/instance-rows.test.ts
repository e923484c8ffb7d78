import { expect, test } from 'vitest'
import { instanceRow } from '../../src/cli/instance-rows.ts'

const known = { version: '1.2.3', started_at: 0, client_id: null, reported_at: 9 }
const since = '1970-01-01T00:00:00.000Z'

test('a proxy is shown with the model servers that it uses, and with what is wrong', () => {
  const proxy = {
    ...known,
    role: 'proxy' as const,
    instance_id: 'gpu-8080',
    ready: false,
    checks: [
      { name: 'keys', status: 'ok' as const },
      { name: 'limits', status: 'ok' as const, detail: 'Redis does not answer' },
      { name: 'audit', status: 'unavailable' as const },
    ],
    upstreams: [
      { url: 'http://a', usable: true },
      { url: 'http://b', usable: false },
    ],
  }
  expect(instanceRow(proxy)).toEqual([
    'proxy',
    'gpu-8080',
    '1.2.3',
    since,
    '1 of 2',
    'not ready; limits: Redis does not answer; audit: unavailable',
  ])
})

test('an issuer has none of them', () => {
  const issuer = {
    ...known,
    role: 'issuer' as const,
    instance_id: 'host-9000',
    ready: true,
    checks: [{ name: 'keys', status: 'ok' as const }],
    upstreams: [],
  }
  expect(instanceRow(issuer)).toEqual(['issuer', 'host-9000', '1.2.3', since, '', 'ready'])
})
