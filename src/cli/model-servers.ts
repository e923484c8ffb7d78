import { readFileSync } from 'node:fs'
import type { Config } from '../config/schema.ts'
import { headerSecret } from '../config/setting-types.ts'
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
  let key: string
  try {
    key = readFileSync(path, 'utf8').trim()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : ''
    throw new ConfigError([`${setting}: ${path} cannot be read${code}`])
  }
  if (headerSecret().safeParse(key).success) return key
  throw new ConfigError([`${setting}: ${path} has no key, or characters that no header can have`])
}
