import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createCohort, inCohorts } from '../../src/kernel/cohorts.ts'

test('what comes in one turn is done at its end, in the order in which it came', async () => {
  const done: string[] = []
  const work = inCohorts((item: string) => void done.push(item))
  work('a')
  work('b')
  expect(done).toEqual([])
  await setImmediate()
  expect(done).toEqual(['a', 'b'])
})

test('what comes of the work itself waits for the next turn', async () => {
  const done: string[] = []
  const work = inCohorts((item: string) => {
    done.push(item)
    if (item === 'a') work('c')
  })
  work('a')
  work('b')
  await setImmediate()
  expect(done).toEqual(['a', 'b'])
  await setImmediate()
  expect(done).toEqual(['a', 'b', 'c'])
})

test('kinds of work are not mixed: each cohort is done before the next kind begins', async () => {
  const done: string[] = []
  const check = inCohorts((item: number) => void done.push(`check ${item}`))
  const send = inCohorts((item: number) => void done.push(`send ${item}`))
  for (const item of [1, 2]) {
    check(item)
    send(item)
  }
  await setImmediate()
  expect(done).toEqual(['check 1', 'check 2', 'send 1', 'send 2'])
})

test('of several works, each is done for all before the next', async () => {
  const done: string[] = []
  const work = inCohorts(
    (item: number) => void done.push(`send ${item}`),
    (item: number) => void done.push(`look at ${item}`),
  )
  work(1)
  work(2)
  await setImmediate()
  expect(done).toEqual(['send 1', 'send 2', 'look at 1', 'look at 2'])
})

test('what nobody waits for is done when 64 have come or somebody asks, each once and in order', () => {
  const done: number[] = []
  const cohort = createCohort((item: number) => void done.push(item))
  for (let i = 0; i < 63; i += 1) cohort.add(i)
  expect([done.length, cohort.size()]).toEqual([0, 63])
  cohort.add(63)
  expect([done.length, cohort.size()]).toEqual([64, 0])
  cohort.add(64)
  cohort.workOff()
  cohort.workOff()
  expect(done).toEqual(Array.from({ length: 65 }, (_, i) => i))
})

test('what fails of it is not done again', () => {
  const done: string[] = []
  const cohort = createCohort((item: string) => {
    if (item === 'bad') throw new Error(item)
    done.push(item)
  })
  cohort.add('a')
  cohort.add('bad')
  expect(cohort.workOff).toThrow('bad')
  cohort.add('b')
  cohort.workOff()
  expect(done).toEqual(['a', 'b'])
})
