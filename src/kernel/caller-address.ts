import type { IncomingMessage } from 'node:http'
import { isIP, type BlockList } from 'node:net'

/**
 * The address that a request comes from: that of the peer or, while the peer is a trusted proxy, of the one that it says
 * it speaks for. Read from the right, as everything further left is what a caller wrote.
 */
export function callerAddress(req: IncomingMessage, trustedProxies: BlockList): string {
  const said = String(req.headers['x-forwarded-for'] ?? '')
    .split(',')
    .map((address) => address.trim())
  let caller = req.socket.remoteAddress ?? ''
  while (isTrusted(caller, trustedProxies)) {
    const before = said.pop() ?? ''
    if (isIP(before) === 0) break
    caller = before
  }
  return caller
}

function isTrusted(address: string, trustedProxies: BlockList): boolean {
  const family = isIP(address)
  return family !== 0 && trustedProxies.check(address, family === 6 ? 'ipv6' : 'ipv4')
}
