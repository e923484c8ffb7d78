import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'
import {
  CERTIFICATE_METRIC,
  documentedLabels,
  METRICS_PAGES,
  readMetricsPage,
  withMetricsTables,
  type MetricsTexts,
} from '../../docs/metrics-table.ts'
import { startGatehouse } from '../support/gatehouse.ts'
import { readMetrics, samplesOf } from '../support/metrics.ts'
import { startModelServer } from '../support/model-server.ts'
import { hasTool } from '../support/tool.ts'

const deploy = fileURLToPath(new URL('../../deploy', import.meta.url))
const read = (path: string): string => readFileSync(`${deploy}/${path}`, 'utf8')
const guide = readFileSync(new URL('../../docs/guides/monitoring.md', import.meta.url), 'utf8')

const alertsSchema = z.object({
  groups: z.array(z.object({ rules: z.array(z.object({ alert: z.string(), expr: z.string() })) })),
})
const testsSchema = z.object({
  tests: z.array(
    z.object({
      input_series: z.array(z.object({ series: z.string() })).default([]),
      alert_rule_test: z.array(
        z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()) }),
      ),
    }),
  ),
})
const alerts = alertsSchema
  .parse(parseYaml(read('prometheus/alerts.yml')))
  .groups.flatMap(({ rules }) => rules)
const alertTests = testsSchema.parse(parseYaml(read('prometheus/alerts.test.yml'))).tests

let texts: MetricsTexts
beforeAll(async () => {
  const model = await startModelServer()
  const gatehouse = await startGatehouse(model.url)
  const { proxy, issuer } = gatehouse.config
  await (
    await fetch(`${proxy.url}/v1/models`, {
      headers: { authorization: `Bearer ${await gatehouse.issueToken()}` },
    })
  ).arrayBuffer()
  texts = {
    proxy: await readMetrics(proxy.opsListen),
    issuer: await readMetrics(issuer.opsListen),
  }
  await gatehouse.close()
  await model.close()
})

test.each(METRICS_PAGES)('%s is what `npm run docs` makes of what both programs show', (page) => {
  const written = readMetricsPage(page)
  expect(written).toContain('| `gatehouse_proxy_requests_total` | counter |')
  expect(withMetricsTables(page, texts)).toBe(written)
})

test('docs/metrics.md tells of every label that there is', () => {
  const samples = Object.values(texts).flatMap(samplesOf)
  const untold = samples
    .filter(({ name }) => name.startsWith('gatehouse_'))
    .flatMap(({ name, labels }) =>
      Object.keys(labels)
        .filter((label) => label !== 'le')
        .filter((label) => !documentedLabels(familyOf(name)).includes(label))
        .map((label) => `${name}{${label}}`),
    )
  expect(untold).toEqual([])
})

/** A histogram's samples carry its name with a suffix. */
const familyOf = (name: string): string =>
  shown().has(name) ? name : name.replace(/_(?:bucket|sum|count)$/, '')

/** Every metric that either program has. */
const shown = (): Set<string> =>
  new Set([
    CERTIFICATE_METRIC,
    ...Object.values(texts).flatMap((text) =>
      Array.from(text.matchAll(/^# TYPE (\w+) /gm), ([, name = '']) => name),
    ),
  ])

const metricsIn = (text: string): string[] =>
  Array.from(text.matchAll(/\b(?:gatehouse|process|nodejs)_\w+/g), ([name]) => name)

const unknownIn = (text: string): string[] =>
  metricsIn(text).filter((name) => !shown().has(familyOf(name)))

describe('deploy/grafana/gatehouse.json', () => {
  const dashboard = z
    .object({
      panels: z.array(
        z.object({
          id: z.int(),
          title: z.string(),
          targets: z.array(z.object({ expr: z.string() })).default([]),
        }),
      ),
      templating: z.object({ list: z.array(z.object({ name: z.string() }).loose()) }),
    })
    .parse(JSON.parse(read('grafana/gatehouse.json')))

  test('shows nothing but metrics that there are', () => {
    const text = JSON.stringify(dashboard)
    expect(metricsIn(text).length).toBeGreaterThan(50)
    expect(unknownIn(text)).toEqual([])
  })

  test('shows each metric of ours somewhere', () => {
    const inPanels = new Set(metricsIn(JSON.stringify(dashboard)).map(familyOf))
    const ours = [...shown()].filter((name) => name.startsWith('gatehouse_'))
    // For how long the active key has signed is there by state.
    expect(ours.filter((name) => !inPanels.has(name))).toEqual(['gatehouse_key_age_seconds'])
  })

  test('has panels with titles and ids of their own', () => {
    const { panels } = dashboard
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    expect(panels.filter(({ title }) => title === '')).toEqual([])
  })
})

describe('deploy/prometheus/alerts.yml', () => {
  test('asks for nothing but metrics that there are, and so do its tests', () => {
    const exprs = alerts.map(({ expr }) => expr).join('\n')
    expect(unknownIn(exprs)).toEqual([])
    const series = alertTests.flatMap(({ input_series: inputs }) => inputs)
    expect(unknownIn(series.map((each) => each.series).join('\n'))).toEqual([])
  })

  test('has, for each alert, a test in which it fires, one in which it does not, and a line in the guide', () => {
    const tried = alertTests.flatMap(({ alert_rule_test: each }) => each)
    for (const { alert } of alerts) {
      const outcomes = tried
        .filter(({ alertname }) => alertname === alert)
        .map(({ exp_alerts: expected }) => expected.length > 0)
      expect([alert, outcomes]).toEqual([alert, expect.arrayContaining([false, true])])
      expect(guide).toContain(`\`${alert}\``)
    }
  })

  const hasPromtool = hasTool(['promtool', '--version'], 'THE ALERT RULES ARE NOT TRIED')
  // promtool opens a database for each case.
  test.skipIf(!hasPromtool)(
    'passes promtool’s check, and its own unit tests',
    { timeout: 120_000 },
    () => {
      const promtool = (...args: string[]) => {
        const { status, stdout, stderr } = spawnSync('promtool', args, {
          cwd: `${deploy}/prometheus`,
          encoding: 'utf8',
        })
        return { status, said: `${stdout}${stderr}` }
      }
      expect(promtool('check', 'rules', 'alerts.yml')).toMatchObject({ status: 0 })
      expect(promtool('test', 'rules', 'alerts.test.yml')).toMatchObject({ status: 0 })
    },
  )
})
