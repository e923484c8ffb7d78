import { describe, expect, test } from 'vitest'
import { createCheckJudge } from '../../src/proxy/upstream-checks.ts'
import { USABLE, type Health, type Observation } from '../../src/proxy/upstream-health.ts'

const SILENT = { kind: 'check_silent' } as const
const STUCK: Health = { state: 'ejected', reason: 'no_progress', detail: '', triableFromMs: 0 }

describe('checks that are not answered', () => {
  /** What a model server is found to be by so many of them. */
  function judge(inFlight: number, health: Health, count: number) {
    const seen: Observation[] = []
    const isUsable = createCheckJudge({ inFlight, health }, (one) => seen.push(one))
    for (let i = 0; i < count; i += 1) isUsable(SILENT)
    return seen.map(({ kind }) => kind)
  }

  test('count three times in a row while there is nothing to do', () => {
    expect(judge(0, USABLE, 2)).toEqual([])
    expect(judge(0, USABLE, 3)).toEqual(['check_failed'])
  })

  test('say nothing of a server at work', () => {
    expect(judge(1, USABLE, 9)).toEqual([])
  })

  test('count at one that was found stuck, also while a request tries it', () => {
    expect(judge(1, STUCK, 2)).toEqual([])
    expect(judge(1, STUCK, 3)).toEqual(['check_failed'])
  })

  test('do not add up with answers between', () => {
    const seen: Observation[] = []
    const isUsable = createCheckJudge({ inFlight: 0, health: USABLE }, (one) => seen.push(one))
    for (let i = 0; i < 3; i += 1) {
      isUsable(SILENT)
      isUsable(SILENT)
      isUsable({ kind: 'check_passed' })
    }
    expect(seen.map(({ kind }) => kind)).toEqual(['check_passed', 'check_passed', 'check_passed'])
  })
})
