import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { reviewDependencies } from './support/dependency-review.ts'
import { readAllowedScripts, readLockfile, type LockedPackage } from './support/lockfile.ts'

const INSTALLED = /^node_modules\/(?:@[^/]+\/)?[^/]+$/

describe('the packages of package-lock.json', () => {
  test('have hashes, licences that are allowed, and no install script that nobody looked at', () => {
    expect(readLockfile().length).toBeGreaterThan(50)
    expect(reviewDependencies(readLockfile(), readAllowedScripts())).toEqual([])
  })

  test('run no install script but of two that are named here, too', () => {
    const allowed = Object.entries(readAllowedScripts()).filter(([, isAllowed]) => isAllowed)
    expect(allowed.map(([name]) => name).toSorted()).toEqual(['argon2', 'node'])
  })

  test('say the licence that the installed package says', () => {
    const direct = readLockfile().filter(({ path, dev }) => dev !== true && INSTALLED.test(path))
    const installed = direct.flatMap(({ path, license }) => {
      const says = licenceIn(path)
      return says === undefined || says === license ? [] : [`${path}: ${says}, not ${license}`]
    })
    expect(installed).toEqual([])
  })
})

const GOOD: LockedPackage = {
  path: 'node_modules/good',
  name: 'good',
  version: '1.2.3',
  integrity: `sha512-${'A'.repeat(86)}==`,
  license: 'MIT',
}

describe('a review of dependencies finds', () => {
  const review = (change: Partial<LockedPackage>, allowed = {}) =>
    reviewDependencies([{ ...GOOD, ...change }], allowed)

  test('nothing in a package that is as it should be', () => {
    expect(review({})).toEqual([])
    expect(review({ license: '(GPL-3.0-only OR MIT)' })).toEqual([])
    expect(review({ hasInstallScript: true }, { good: false })).toEqual([])
    expect(review({ resolved: 'https://registry.npmjs.org/good/-/good-1.2.3.tgz' })).toEqual([])
  })

  test.each<[string, Partial<LockedPackage>]>([
    ['a package without a hash', { integrity: undefined }],
    ['a SHA-1', { integrity: `sha1-${'A'.repeat(27)}=` }],
    ['a tarball from elsewhere', { resolved: 'https://registry.npmjs.org.evil.example/good.tgz' }],
    ['a repository', { resolved: 'git+ssh://git@github.com/good/good.git#0123' }],
    ['a link', { link: true }],
    ['a range for a version', { version: '^1.2.3' }],
    ['a licence that is not allowed', { license: 'AGPL-3.0-only' }],
    ['two licences that both hold', { license: 'MIT AND AGPL-3.0-only' }],
    ['a missing licence', { license: undefined }],
    ['a package that was given up', { deprecated: 'use better' }],
    ['a new install script', { hasInstallScript: true }],
  ])('%s', (_title, change) => {
    expect(review(change)).toHaveLength(1)
  })

  test('no fault in the licence of what is never installed in production', () => {
    expect(review({ dev: true, license: 'MPL-2.0' })).toEqual([])
  })
})

/** Undefined for a package that is not for this machine, or old enough to say it in another way. */
function licenceIn(path: string): string | undefined {
  try {
    const description: unknown = JSON.parse(readFileSync(`${path}/package.json`, 'utf8'))
    return z.object({ license: z.string() }).safeParse(description).data?.license
  } catch {
    return undefined
  }
}
