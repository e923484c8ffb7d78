import { join } from 'node:path'
import { expect, test } from 'vitest'
import { settleAccounts } from '../support/account.ts'
import { startCountingModel } from '../support/counting-model.ts'
import { startLoneProxy } from '../support/lone-proxy.ts'
import { countedCalls } from '../support/metrics.ts'
import { useTempFolders } from '../support/temp-folders.ts'
import { runUnrulyClients } from '../support/unruly-clients.ts'

const makeFolder = useTempFolders()

/** The same with 100,000 requests and a process of its own: bench/exactly-once.ts. */
test('every request is on record once, with what the model server says that it sent, whoever leaves or fails', async () => {
  const dataDir = makeFolder()
  const model = await startCountingModel()
  const proxy = await startLoneProxy([`dataDir=${dataDir}`, `proxy.upstreams=${model.url}`])
  const tokens = await Promise.all(
    [{ tenant_id: 'acme' }, { tenant_id: 'other', limits: { subject: { concurrency: 4 } } }].map(
      async (claims) => `Bearer ${await proxy.issuer.sign(claims)}`,
    ),
  )
  const kills: Promise<void>[] = []
  const fates = await runUnrulyClients({
    port: proxy.port,
    tokens,
    requests: 1500,
    concurrency: 32,
    onEnd: (ended) => void (ended % 500 === 250 && kills.push(model.kill(20))),
  })
  await Promise.all(kills)
  const counted = await countedCalls(proxy.config.proxy.opsListen)
  await proxy.close()
  await model.close()

  const dir = join(dataDir, 'audit')
  const account = await settleAccounts({ dir, fates, said: model.said, counted })
  expect(account.problems).toEqual([])
  expect(account.whole).toBeGreaterThan(200)
  expect(account.cut).toBeGreaterThan(50)
  expect(account.tokens.recorded).toBe(account.tokens.said)
})
