import { expect, test } from 'vitest'
import { Ending } from '../../src/proxy/ending.ts'

const revoked = new Error('revoked')

test('an ending tells those who still listen, once and with its first reason', () => {
  const told: unknown[] = []
  const ending = new Ending()
  const listener = (reason: Error) => void told.push(['stays', reason])
  const left = (reason: Error) => void told.push(['left', reason])
  ending.on(left)
  ending.on(listener)
  ending.off(left)
  ending.off(left)
  expect(() => ending.throwIfEnded()).not.toThrow()
  ending.end(revoked)
  ending.end(new Error('too late'))
  expect(told).toEqual([['stays', revoked]])
  expect(ending.reason).toBe(revoked)
  expect(() => ending.throwIfEnded()).toThrow(revoked)
})

test('a listener that takes another one off, or ends once more, keeps nobody from being told', () => {
  const told: string[] = []
  const ending = new Ending()
  const second = () => void told.push('second')
  ending.on(() => {
    told.push('first')
    ending.off(second)
    ending.end(new Error('again'))
  })
  ending.on(second)
  ending.end(revoked)
  expect(told).toEqual(['first', 'second'])
})
