import { readFileSync } from 'node:fs'
import type { Config } from '../config/schema.ts'
import { ConfigError } from '../kernel/errors.ts'

type ModelServer = { url: string; apiKey: string | undefined }

/** The model servers, each with its own key or that of all. A ConfigError names the setting whose file cannot be read. */
export function modelServersOf({ proxy }: Config): ModelServer[] {
  return proxy.upstreams.map((upstream, i) => {
    if (typeof upstream === 'string') return { url: upstream, apiKey: proxy.upstreamApiKey }
    const { url, apiKey, apiKeyFile } = upstream
    if (apiKeyFile === undefined) return { url, apiKey: apiKey ?? proxy.upstreamApiKey }
    return { url, apiKey: readKey(`proxy.upstreams.${i}.apiKeyFile`, apiKeyFile) }
  })
}

function readKey(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
    throw new ConfigError([`${setting}: ${path} cannot be read${code}`])
  }
}
