import { describe, expect, test } from 'vitest'
import { createHashPool } from '../../src/registry/hash-pool.ts'

describe('the hash pool', () => {
  test('hashes by argon2id as OWASP advises, and knows its own', async () => {
    const pool = createHashPool()
    const hash = await pool.hash('secret')
    expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,(t=2,p=1|p=1,t=2)\$/)
    expect(await pool.verify(hash, 'secret')).toBe(true)
    expect(await pool.verify(hash, 'secrets')).toBe(false)
    expect(await pool.verify(undefined, 'secret')).toBe(false)
  })

  test('lets so many verifications wait and refuses the next; hashes wait behind them all', async () => {
    const pool = createHashPool({ concurrency: 1, maxWaiting: 2 })
    const finished: string[] = []
    const done = (what: string) => () => void finished.push(what)
    const running = pool.verify(undefined, 'a').then(done('running'))
    const hashing = pool.hash('b').then(done('hash'))
    const waiting = ['first', 'second'].map((what) => pool.verify(undefined, what).then(done(what)))
    await expect(pool.verify(undefined, 'c')).rejects.toMatchObject({
      code: 'temporarily_unavailable',
      headers: { 'retry-after': '1' },
    })
    await Promise.all([running, hashing, ...waiting])
    expect(finished).toEqual(['running', 'first', 'second', 'hash'])
    expect(await pool.verify(undefined, 'd')).toBe(false)
  })
})
