import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'

const LABEL = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?'
const DNS_NAME = new RegExp(`^(?:\\*\\.)?${LABEL}(?:\\.${LABEL})*$`)

/** A DNS name (with a `*` for its first label, or in other scripts) or an IP address, as certificates have it; else undefined. */
export function parseCertificateName(given: string): string | undefined {
  const address = given.replace(/^\[(.*)\]$/, '$1')
  if (isIP(address) !== 0) return canonicalAddress(address)
  const isAscii = /^[\x21-\x7E]*$/.test(given)
  const name = (isAscii ? given : domainToASCII(given)).toLowerCase()
  return name.length <= 253 && DNS_NAME.test(name) ? name : undefined
}

/** IPv6 addresses have many spellings, and this is the one of RFC 5952. */
export function canonicalAddress(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
}
