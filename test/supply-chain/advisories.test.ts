import { execFile } from 'node:child_process'
import { expect, test } from 'vitest'
import { z } from 'zod'

/** The report of `npm audit`, or what it says when the registry does not answer. */
const reportSchema = z.union([
  z.object({ vulnerabilities: z.record(z.string(), z.object({ severity: z.string() })) }),
  z.object({ message: z.string() }),
])

/** With ADVISORIES=1, as it asks the registry: `npm test` needs no outside server. */
test.skipIf(process.env['ADVISORIES'] !== '1')(
  'the registry knows no advisory against a package of a production',
  async (context) => {
    const report = await askRegistry()
    if ('message' in report) {
      process.stderr.write(`\n!!! ADVISORIES WERE NOT CHECKED: ${report.message} !!!\n\n`)
      return context.skip(report.message)
    }
    expect(Object.keys(report.vulnerabilities)).toEqual([])
  },
  120_000,
)

function askRegistry(): Promise<z.infer<typeof reportSchema>> {
  return new Promise((resolve, reject) => {
    const options = ['audit', '--omit=dev', '--json', '--fetch-retries=1', '--fetch-timeout=20000']
    // It fails with an advisory as without an answer: what it prints says which.
    execFile('npm', options, { maxBuffer: 50_000_000 }, (_error, stdout, stderr) => {
      const parsed = reportSchema.safeParse(parseJson(stdout))
      if (parsed.success) resolve(parsed.data)
      else reject(new Error(`npm audit: ${stderr || stdout}`))
    })
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
