import { expect, test } from 'vitest'
import type { UsageRow } from '../../src/audit/usage-sums.ts'
import { formatUsage, toCsv } from '../../src/cli/usage-table.ts'

const rowOf = (names: Partial<UsageRow>): UsageRow => ({
  tenant_id: 'acme',
  requests: 10,
  refused: 1,
  prompt_tokens: 8000,
  completion_tokens: 400,
  estimated: 0,
  images: 9,
  bytes_in: 2_500_000,
  bytes_out: 900,
  queued_ms: 20.5,
  upstream_ms: 12_345.6,
  ...names,
})
const PERIOD = { from: '2026-01-01', to: '2026-01-31' }

test('the greatest comes first, with the longest bar, and estimates are marked', () => {
  const rows = [
    rowOf({ client_id: 'small', completion_tokens: 1, estimated: 1 }),
    rowOf({ client_id: 'robot' }),
    rowOf({ client_id: 'half', completion_tokens: 200 }),
    rowOf({ client_id: 'none', completion_tokens: 0 }),
  ]
  expect(formatUsage(rows, 'client', PERIOD).split('\n')).toEqual([
    '2026-01-01 to 2026-01-31 (UTC)',
    'TENANT  CLIENT  CALLS  REFUSED  PROMPT  COMPLETION  IMAGES  IN      OUT    UPSTREAM  COMPLETION TOKENS',
    `acme    robot   10     1        8000    400         9       2.5 MB  900 B  12.3 s    ${'█'.repeat(20)}`,
    `acme    half    10     1        8000    200         9       2.5 MB  900 B  12.3 s    ${'█'.repeat(10)}`,
    'acme    small   10     1        8000    ~1          9       2.5 MB  900 B  12.3 s    ▏',
    'acme    none    10     1        8000    0           9       2.5 MB  900 B  12.3 s',
    '~ some of it was counted by pieces of text, because the model server did not say',
    '',
  ])
})

test('without any tokens the bars show calls, and without calls it says so', () => {
  const row = rowOf({ completion_tokens: 0 })
  expect(formatUsage([row], 'tenant', PERIOD)).toMatch(/UPSTREAM {2}CALLS\n.*█{20}\n$/)
  expect(formatUsage([], 'tenant', PERIOD)).toBe('no calls from 2026-01-01 to 2026-01-31\n')
})

test('an id commands no terminal, and as many rows fit as there are', () => {
  // More than a function takes as arguments.
  const rows = Array.from({ length: 130_000 }, (_row, i) =>
    rowOf({ sub: i === 0 ? 'evil\u001b[2J\u009b\u202e\n' : `user:${i}` }),
  )
  const [, , first = '', ...others] = formatUsage(rows, 'subject', PERIOD).split('\n')
  expect(first).toMatch(/^acme {4}evil\ufffd\[2J\ufffd\ufffd\ufffd {2}/)
  expect(others).toHaveLength(130_000)
})

test('CSV quotes what needs it, and no id becomes a formula', () => {
  const rows = [
    rowOf({ sub: 'user:a' }),
    rowOf({ sub: '=HYPERLINK("http://evil.example","x")' }),
    rowOf({ sub: 'a,b' }),
  ]
  const totals = '10,1,8000,400,0,9,2500000,900,20.5,12345.6'
  expect(toCsv(rows, 'subject').split('\r\n')).toEqual([
    'tenant_id,sub,requests,refused,prompt_tokens,completion_tokens,estimated,images,bytes_in,bytes_out,queued_ms,upstream_ms',
    `acme,user:a,${totals}`,
    `acme,"'=HYPERLINK(""http://evil.example"",""x"")",${totals}`,
    `acme,"a,b",${totals}`,
    '',
  ])
})
