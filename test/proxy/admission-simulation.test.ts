import { expect, test } from 'vitest'
import { callerToken } from '../support/caller-token.ts'
import { createRandom } from '../support/random.ts'
import {
  simulateModel,
  type SimulatedCall,
  type SimulatedModel,
} from '../support/simulated-model.ts'

/** Exponentially distributed, as is what comes from many sources independently. */
const createExponential = (seed: number) => {
  const random = createRandom(seed)
  return (mean: number) => -mean * Math.log(1 - random())
}

/** Calls that arrive at random at that rate, from now to the end. */
function arrive(
  model: SimulatedModel,
  draw: (mean: number) => number,
  { perSecond, endMs, call }: { perSecond: number; endMs: number; call: () => void },
): void {
  const next = (): void => {
    const atMs = model.now() + draw(1000 / perSecond)
    if (atMs > endMs) return
    model.at(atMs, () => {
      call()
      next()
    })
  }
  next()
}

/** Of the machine, which may be busy; the simulated time is another. */
const TIMEOUT_MS = 30_000
const SLOTS = 64
const MEAN_SERVICE_MS = 3000

/**
 * How long 99 of 100 calls of a tenant at 80 % of its half waited at most, with another at so many times its own, through so
 * many clients.
 */
async function p99WaitMs(flood: number, clients = 1): Promise<number> {
  const model = simulateModel({ slots: SLOTS })
  const draw = createExponential(7)
  const share = SLOTS / 2 / (MEAN_SERVICE_MS / 1000)
  const endMs = 160_000
  const quiet: SimulatedCall[] = []
  const loud: SimulatedCall[] = []
  const callOf = (tenant: string, calls: SimulatedCall[], of: number) => () => {
    const token = callerToken(tenant, { clientId: `client ${calls.length % of}` })
    calls.push(model.call(token, draw(MEAN_SERVICE_MS)))
  }
  arrive(model, draw, { perSecond: 0.8 * share, endMs, call: callOf('quiet', quiet, 1) })
  if (flood > 0) {
    arrive(model, draw, { perSecond: flood * share, endMs, call: callOf('loud', loud, clients) })
  }
  await model.runUntil(endMs + 600_000)
  expect(quiet.filter(({ outcome }) => outcome !== 'served')).toEqual([])
  expect(quiet.length).toBeGreaterThan(1200)
  const waits = quiet.map(({ queuedMs }) => queuedMs).sort((a, b) => a - b)
  return waits[Math.floor(waits.length * 0.99)] ?? Number.NaN
}

test.each([1, 300])(
  'a tenant at 50 times its share through %i clients hardly delays another, which loses no call',
  { timeout: TIMEOUT_MS },
  async (clients) => {
    const aloneMs = await p99WaitMs(0)
    const floodedMs = await p99WaitMs(50, clients)
    expect(floodedMs).toBeLessThan(2 * (MEAN_SERVICE_MS + aloneMs))
  },
)

test(
  '1,000 tenants that always have more to ask are served by weight, within 5 %',
  { timeout: TIMEOUT_MS },
  async () => {
    const model = simulateModel({ slots: 256, maxWaiting: 100_000, maxWaitSeconds: 240 })
    const draw = createExponential(11)
    const random = createRandom(13)
    const weights = Array.from({ length: 1000 }, () => 2 ** (1.5 * random()))
    const served = weights.map(() => 0)
    weights.forEach((weight, i) => {
      const token = callerToken(`tenant ${i}`, { weight })
      const callAgain = () => {
        served[i] = (served[i] ?? 0) + 1
        model.call(token, draw(100), callAgain)
      }
      for (let n = 0; n < 4; n++) model.call(token, draw(100), callAgain)
    })
    // Those who came first found free slots, whatever their weight.
    await model.runUntil(3000)
    served.fill(0)
    await model.runUntil(33_000)
    const total = weights.reduce((sum, each) => sum + each, 0)
    const all = served.reduce((sum, each) => sum + each, 0)
    const off = served.map((n, i) => Math.abs(n / all / ((weights[i] ?? 1) / total) - 1))
    expect(Math.max(...off)).toBeLessThan(0.05)
  },
)
