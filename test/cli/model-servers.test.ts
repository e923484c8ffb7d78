import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { modelServersOf } from '../../src/cli/model-servers.ts'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/kernel/errors.ts'

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gatehouse-servers-'))
})
afterAll(() => rm(dir, { recursive: true }))

async function load(upstreams: string) {
  const file = join(dir, 'gatehouse.yaml')
  await writeFile(file, `proxy: { upstreamApiKey: of-all, upstreams: ${upstreams} }`)
  return loadConfig({ env: {}, file })
}

async function serversOf(upstreams: string) {
  const { config, problems } = await load(upstreams)
  if (config === undefined) throw new Error(problems.join('\n'))
  return modelServersOf(config)
}

test('a model server has its own key, from a file or not, or that of all', async () => {
  await writeFile(join(dir, 'b.key'), 'of-b\n')
  const servers = await serversOf(
    `[http://a:1, { url: http://b:1, apiKeyFile: ${dir}/b.key }, { url: http://c:1, apiKey: of-c }, { url: http://d:1 }]`,
  )
  expect(servers).toEqual([
    { url: 'http://a:1', apiKey: 'of-all' },
    { url: 'http://b:1', apiKey: 'of-b' },
    { url: 'http://c:1', apiKey: 'of-c' },
    { url: 'http://d:1', apiKey: 'of-all' },
  ])
})

test('a key file that cannot be read is named by its setting', async () => {
  const servers = serversOf(`[{ url: http://a:1, apiKeyFile: ${dir}/nowhere }]`)
  await expect(servers).rejects.toThrow(ConfigError)
  await expect(servers).rejects.toThrow(`proxy.upstreams.0.apiKeyFile: ${dir}/nowhere cannot be`)
})

test.each([
  ['of more than a line', 'one\nX-Injected: two'],
  ['with a character that latin1 would make a line end', 'k\u010ay'],
  ['that is empty', '\n'],
])('a key %s is refused, from a file or not', async (_, key) => {
  await writeFile(join(dir, 'odd.key'), key)
  const servers = serversOf(`[{ url: http://a:1, apiKeyFile: ${dir}/odd.key }]`)
  await expect(servers).rejects.toThrow(ConfigError)
  await expect(servers).rejects.toThrow('proxy.upstreams.0.apiKeyFile: ')
  const { problems } = await load(`[{ url: http://a:1, apiKey: ${JSON.stringify(key)} }]`)
  expect(problems).toEqual([expect.stringMatching(/^proxy\.upstreams\.0\.apiKey: /)])
})

test.each([
  ['{ url: http://a:1/v1 }', 'proxy.upstreams.0.url'],
  ['{ apiKey: k3y }', 'proxy.upstreams.0'],
  ['{ url: http://a:1, apiKey: k3y, apiKeyFile: b }', 'proxy.upstreams.0'],
  ['{ url: http://a:1, apikey: k3y }', 'proxy.upstreams.0.apikey'],
  ['http://a:1/v1', 'proxy.upstreams.0'],
  ['7', 'proxy.upstreams.0'],
])('%s is refused, without a word of its key', async (upstream, setting) => {
  const { problems = [] } = await load(`[${upstream}]`)
  expect(problems.map((problem) => problem.split(': ', 1)[0])).toEqual([setting])
  expect(problems.join('\n')).not.toContain('k3y')
})
