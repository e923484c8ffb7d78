import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome']

/** The browser to start; undefined when there is none. Tests that need one are skipped then. */
export const chromiumPath = (process.env['PATH'] ?? '')
  .split(delimiter)
  .flatMap((folder) => NAMES.map((name) => join(folder, name)))
  .find((path) => existsSync(path))

/** Says once for the whole run that Chromium is missing, or refuses to run where it must be there (CI). */
export function setup(): void {
  if (chromiumPath !== undefined) return
  if (process.env['REQUIRE_CHROMIUM'] === '1') {
    throw new Error('REQUIRE_CHROMIUM=1, but there is no chromium on the PATH')
  }
  console.warn(
    '\n!!! NO chromium ON THE PATH: EVERY TEST OF THE PAGES IN A BROWSER IS SKIPPED !!!\n',
  )
}

/** One for all tests of a file. It asks nobody for updates. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath ?? '',
    args: [
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}
