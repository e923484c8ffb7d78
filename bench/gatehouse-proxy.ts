import { join } from 'node:path'
import { SERVER_CORE, waitFor, type Lab } from './lab.ts'

export type GatehouseProxyOptions = {
  /** Where its tokens come from, and where it sends what it lets in. */
  issuerUrl: string
  upstreamUrl: string
  /** Its own URL, the `aud` of the tokens. */
  url: string
  opsPort: number
  settings?: Readonly<Record<string, string>>
  flagsOfNode?: readonly string[]
}

/** Starts the proxy as an operator runs it, on the core for what is measured, and waits until it is ready; gives its process id. */
export async function startGatehouseProxy(
  lab: Lab,
  { issuerUrl, upstreamUrl, url, opsPort, settings = {}, flagsOfNode = [] }: GatehouseProxyOptions,
): Promise<number> {
  const pid = lab.start(
    'gatehouse',
    [process.execPath, '--expose-gc', ...flagsOfNode, mainFile(), 'proxy'],
    {
      core: SERVER_CORE,
      env: {
        GATEHOUSE_DATA_DIR: join(lab.dir, 'data'),
        GATEHOUSE_ISSUER__URL: issuerUrl,
        GATEHOUSE_PROXY__URL: url,
        GATEHOUSE_PROXY__LISTEN: `127.0.0.1:${new URL(url).port}`,
        GATEHOUSE_PROXY__OPS_LISTEN: `127.0.0.1:${opsPort}`,
        GATEHOUSE_PROXY__UPSTREAMS: upstreamUrl,
        GATEHOUSE_REVOCATIONS__FEED: 'off',
        ...settings,
      },
    },
  )
  await waitFor(`http://127.0.0.1:${opsPort}/readyz`, (status) => status === 200)
  return pid
}

/** Another checkout's proxy can be measured in the same field: name its entry file. */
const mainFile = () =>
  process.env['BENCH_GATEHOUSE_MAIN'] ?? join(import.meta.dirname, '../src/cli/main.ts')
