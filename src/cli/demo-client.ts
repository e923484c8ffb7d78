import { join } from 'node:path'
import { z } from 'zod'
import type { Config } from '../config/schema.ts'
import { ConfigError } from '../kernel/errors.ts'
import { isLoopbackHost, parseListenAddress } from '../kernel/listen-address.ts'
import { readPrivateFile, writePrivateFile } from '../kernel/private-file.ts'
import { newClientSchema } from '../registry/client.ts'
import type { Clients } from '../registry/registry.ts'

const credentialsSchema = z.object({
  issuer: z.string(),
  client_id: z.string(),
  client_secret: z.string(),
})
export type ClientCredentials = z.infer<typeof credentialsSchema>

const pathOf = ({ dataDir }: Config): string => join(dataDir, 'demo-client.json')

/** Makes the demo client unless it is there; never while another machine can reach a listener. Whether there is one. */
export async function ensureDemoClient(config: Config, clients: Clients): Promise<boolean> {
  const { issuer, admin, proxy } = config
  const isPrivate = [issuer, admin, proxy].every(({ listen }) =>
    isLoopbackHost(parseListenAddress(listen).host),
  )
  if (!isPrivate) return false
  const known = await readDemoClient(config)
  if (known !== undefined && (await clients.get(known.client_id)) !== undefined) return true
  const { client, clientSecret } = await clients.create(
    newClientSchema.parse({ name: 'Demo client of this machine' }),
  )
  const credentials = {
    issuer: issuer.url,
    client_id: client.client_id,
    client_secret: clientSecret,
  }
  await writePrivateFile(pathOf(config), JSON.stringify(credentials, null, 2))
  return true
}

/** The demo client, unless it belongs to another issuer, which must not get to see its secret. */
export async function readDemoClient(config: Config): Promise<ClientCredentials | undefined> {
  const text = await readPrivateFile(pathOf(config))
  const credentials = text === undefined ? undefined : parseCredentials(pathOf(config), text)
  return credentials?.issuer === config.issuer.url ? credentials : undefined
}

function parseCredentials(path: string, text: string): ClientCredentials {
  try {
    return credentialsSchema.parse(JSON.parse(text))
  } catch {
    throw new ConfigError(
      [`${path} is damaged`],
      'delete it: the next start makes a new demo client',
    )
  }
}
