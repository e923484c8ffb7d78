import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readLockfile } from './lockfile.ts'
import { readVersion } from './version.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** v0.1.0, for a clone that has no tags. */
const KNOWN_RELEASE = '24330703347bb0575e21ad08de978e645efcf5b5'

/** The last release before this commit, or why it cannot be had: a shallow clone, a tarball, a machine without git. */
export function findPreviousRelease(): { tag: string } | { missing: string } {
  const asked = [
    ['describe', '--tags', '--abbrev=0', '--match=v*', 'HEAD^'],
    ['rev-parse', '--verify', '--end-of-options', `${KNOWN_RELEASE}^{commit}`],
  ]
  for (const args of asked) {
    try {
      return { tag: git(...args).trim() }
    } catch {
      // The next may know.
    }
  }
  return { missing: 'no release before this commit: is this a whole clone?' }
}

/** Which version that release says it is. */
export function versionOf(tag: string): string {
  return readVersion(git('show', `${tag}:package.json`))
}

/**
 * Puts that release into the folder, with the packages that it was released with, and gives its `main.ts`. They are ours, as
 * long as both releases lock the same.
 */
export function installRelease(tag: string, folder: string): string {
  mkdirSync(folder, { recursive: true })
  const archive = join(folder, 'release.tar')
  git('archive', `--output=${archive}`, tag, 'src', 'package.json', 'package-lock.json')
  execFileSync('tar', ['--extract', `--file=${archive}`, `--directory=${folder}`])
  const theirs = join(folder, 'package-lock.json')
  if (productionOf(readFileSync(theirs, 'utf8')) === productionOf()) {
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  } else {
    const options = ['--omit=dev', '--omit=optional', '--no-audit', '--no-fund', '--prefer-offline']
    execFileSync('npm', ['ci', ...options], { cwd: folder, stdio: 'pipe' })
  }
  const main = join(folder, 'src', 'cli', 'main.ts')
  if (!existsSync(main)) throw new Error(`${tag} has no ${main}`)
  return main
}

/** What is installed in production, without what only this or that machine takes. */
function productionOf(lockfile?: string): string {
  return readLockfile(lockfile)
    .filter(({ dev }) => dev !== true)
    .map(({ path, version }) => `${path}@${version}`)
    .toSorted()
    .join()
}

function git(...args: readonly string[]): string {
  return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' })
}
