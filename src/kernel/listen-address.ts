import { isIP } from 'node:net'
import { ConfigError } from './errors.ts'

export type ListenAddress = { host: string; port: number }

/** Parses `HOST:PORT` or `[IPV6]:PORT`; port 0 means any free one. Anything else is a ConfigError. */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port > 65_535) throw new ConfigError([`${text} is not HOST:PORT`])
  return { host, port }
}

export function formatListenAddress({ host, port }: ListenAddress): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}

/** Whether only this machine can reach it: 127.0.0.0/8, ::1 or the name `localhost`. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '')
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'))
}
