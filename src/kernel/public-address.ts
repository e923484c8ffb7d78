import { BlockList, isIP } from 'node:net'

/** Ranges that lead to this machine, this network or nowhere (IANA special-purpose address registries, RFC 6890). */
const SPECIAL_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]

/** Of IPv6, 2000::/3 alone is public, but for these: among them the prefixes that wrap an IPv4 address. */
const SPECIAL_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20']

const special = blockListOf(SPECIAL_IPV4, SPECIAL_IPV6)
const unicast = blockListOf([], ['2000::/3'])

/** Whether that is an IP address to which anybody on the internet could connect. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !special.check(address, 'ipv4')
    case 6:
      return unicast.check(address, 'ipv6') && !special.check(address, 'ipv6')
    default:
      return false
  }
}

function blockListOf(ipv4: readonly string[], ipv6: readonly string[]): BlockList {
  const list = new BlockList()
  for (const [family, blocks] of [['ipv4', ipv4] as const, ['ipv6', ipv6] as const]) {
    for (const block of blocks) {
      const [address = '', prefix] = block.split('/')
      list.addSubnet(address, Number(prefix), family)
    }
  }
  return list
}
