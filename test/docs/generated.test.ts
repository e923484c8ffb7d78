import { describe, expect, test } from 'vitest'
import { readGeneratedPages } from '../../docs/generate.ts'
import { MEANINGS_ZH } from '../../docs/settings-meanings-zh.ts'

describe.each(readGeneratedPages())('docs/$name', ({ written, renewed }) => {
  test('has what `npm run docs` makes', () => {
    expect(written, 'out of date: `npm run docs`').toBe(renewed)
  })
})

test('what is made comes from the catalogue of errors and from the schema of the settings', () => {
  const made = Object.fromEntries(readGeneratedPages().map(({ name, renewed }) => [name, renewed]))
  expect(made['http-api.md']).toContain('| 401 | `invalid_token` |')
  // A secret, a unit with a range, what SIGHUP takes over, an entry of a list, a group, and a default elsewhere.
  const lines = made['configuration.md']?.split('\n')
  expect(lines).toEqual(
    expect.arrayContaining([
      expect.stringMatching(
        /^\| `redis.url`<br>`GATEHOUSE_REDIS__URL`, `…_FILE` \| none \| text \|/,
      ),
      expect.stringMatching(
        /^\| `tokens.accessTtlSeconds`.* \| `900` \| seconds, 60 to 1800 \|  \|/,
      ),
      expect.stringMatching(/^\| `log.level`.* \| `info` \| `debug`, `info`.* \| yes \|/),
      expect.stringMatching(/^\| `apiKeyFile`, optional \| path \|/),
      expect.stringMatching(/^`limits.defaults`: of each subject/),
      expect.stringMatching(/^\| `proxy.routes`.* \| \[this table\]\(/),
    ]),
  )
})

test('every meaning that is translated is one that the schema has', () => {
  const english = readGeneratedPages().find(({ name }) => name === 'configuration.md')?.renewed
  expect(Object.keys(MEANINGS_ZH).filter((meaning) => english?.includes(meaning) !== true)).toEqual(
    [],
  )
})
