import { expect, test } from 'vitest'
import { AppError } from '../../src/kernel/errors.ts'
import { startPeriodicCheck, type PeriodicCheck } from '../../src/kernel/periodic-check.ts'

/** So long that only `look` asks. */
const NEVER_MS = 1_000_000

/** Asks somebody whose answers the test gives, in order. */
function start(): { check: PeriodicCheck; answers: PromiseWithResolvers<void>[] } {
  const answers: PromiseWithResolvers<void>[] = []
  const ask = () => {
    const answer = Promise.withResolvers<void>()
    answers.push(answer)
    return answer.promise
  }
  return { check: startPeriodicCheck({ name: 'it', ask, intervalMs: NEVER_MS }), answers }
}

const unavailable = (detail: string) => ({ status: 'unavailable', detail })
const settled = () => new Promise((resolve) => setImmediate(resolve))

test('it asks at once, and nobody calls it well before there is an answer', async () => {
  const { check, answers } = start()
  expect(answers.length).toBe(1)
  expect(check.read()).toEqual(unavailable('it has not answered yet'))
  answers[0]?.resolve()
  await settled()
  expect(check.read()).toEqual({ status: 'ok' })
  check.stop()
})

test('a failure counts until it answers again', async () => {
  const { check, answers } = start()
  answers[0]?.reject(new AppError('temporarily_unavailable', 'Gone.', { reason: 'it_is_away' }))
  await settled()
  expect(check.read()).toEqual(unavailable('it does not answer (it_is_away)'))
  const looked = check.look()
  expect(check.read().status).toBe('unavailable')
  answers[1]?.resolve()
  await looked
  expect(check.read()).toEqual({ status: 'ok' })
  check.stop()
})

test('who hangs is not asked again, and is not well from the second turn on until it answers', async () => {
  const { check, answers } = start()
  answers[0]?.resolve()
  await settled()
  const looked = check.look()
  await check.look()
  expect(check.read()).toEqual({ status: 'ok' })
  await check.look()
  expect(check.read()).toEqual(unavailable('it does not answer in time'))
  expect(answers.length).toBe(2)
  answers[1]?.resolve()
  await looked
  expect(check.read()).toEqual({ status: 'ok' })
  check.stop()
})
