import type { IncomingMessage } from 'node:http'
import { BlockList } from 'node:net'
import { expect, test } from 'vitest'
import { callerAddress } from '../../src/kernel/caller-address.ts'

const trusted = new BlockList()
trusted.addSubnet('10.0.0.0', 8, 'ipv4')

test.each([
  ['a stranger is who it is', '192.0.2.1', '203.0.113.9', '192.0.2.1'],
  ['a terminator speaks for its peer', '10.0.0.1', '203.0.113.9', '203.0.113.9'],
  ['two terminators', '10.0.0.1', '203.0.113.9, 10.0.0.2', '203.0.113.9'],
  ['what a caller wrote itself', '10.0.0.1', '198.51.100.1, 203.0.113.9', '203.0.113.9'],
  ['a terminator that does not say', '10.0.0.1', undefined, '10.0.0.1'],
  ['what is no address', '10.0.0.1', '203.0.113.9, robot', '10.0.0.1'],
])('%s', (_what, peer, forwardedFor, address) => {
  const req = {
    socket: { remoteAddress: peer },
    headers: { 'x-forwarded-for': forwardedFor },
  } as unknown as IncomingMessage
  expect(callerAddress(req, trusted)).toBe(address)
})
