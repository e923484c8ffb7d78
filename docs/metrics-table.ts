import { mkdtemp, rm } from 'node:fs/promises'
import { readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '../src/cli/free-ports.ts'
import { startIssuer } from '../src/cli/start-issuer.ts'
import { startProxy } from '../src/cli/start-proxy.ts'
import { loadConfig } from '../src/config/load.ts'
import { systemClock } from '../src/kernel/clock.ts'
import { createLog } from '../src/kernel/log.ts'

/** The page in each language, and the heads of its tables; what the programs say of a metric is English in both. */
const PAGES = {
  'docs/metrics.md': '| metric | type | labels | says |',
  'docs/zh-CN/metrics.md': '| 指标 | 类型 | 标签 | 说明 |',
} as const
export type MetricsPage = keyof typeof PAGES
export const METRICS_PAGES: readonly MetricsPage[] = ['docs/metrics.md', 'docs/zh-CN/metrics.md']

export type Role = 'proxy' | 'issuer'
/** What each role shows at `/metrics`. */
export type MetricsTexts = Record<Role, string>

/** What the registries do not say: which labels a metric has, and what they may be. One without an entry has none. */
const LABELS: Readonly<Record<string, string>> = {
  gatehouse_build_info: '`version`',
  gatehouse_proxy_requests_total:
    '`route`: the path of the route table, `/_gatehouse/verify`, or `none`; `outcome`: `allowed`, `client_gone`, or the [error code](http-api.md)',
  gatehouse_proxy_refused_total: '`reason`: as in the log and the audit trail',
  gatehouse_limits_refused_total:
    '`level`: `subject`, `client`, `tenant`; `limit`: `rpm`, `concurrency`, `daily_requests`, `daily_tokens`',
  gatehouse_token_cache_lookups_total: '`result`: `hit`, `miss`',
  gatehouse_proxy_in_flight: '`upstream`: as in `proxy.upstreams`',
  gatehouse_upstream_healthy: '`upstream`: as in `proxy.upstreams`',
  gatehouse_tokens_issued_total: '`grant`: the `grant_type`',
  gatehouse_token_requests_refused_total: '`reason`: the `error` of RFC 6749 and its extensions',
  gatehouse_issuer_requests_total:
    '`route`: the endpoint, or `none`; `outcome`: `allowed`, `refused` (4xx), `failed` (5xx), `client_gone`',
  gatehouse_issuer_request_seconds: '`route`',
  gatehouse_keys: '`state`: `next`, `active`, `retiring`',
  gatehouse_key_state_seconds: '`state`',
  gatehouse_client_secrets_expiring: '`within`: `1d`, `7d`, `30d`; who ends sooner counts in each',
}

/** Of listeners with TLS, and so not of every installation: the page tells of it below the tables. */
export const CERTIFICATE_METRIC = 'gatehouse_tls_certificate_expires_seconds'

const placeOf = (page: MetricsPage): URL => new URL(`../${page}`, import.meta.url)
export const readMetricsPage = (page: MetricsPage): string => readFileSync(placeOf(page), 'utf8')

/** The page with its tables made anew from what the programs show. */
export function withMetricsTables(page: MetricsPage, texts: MetricsTexts): string {
  const roles = ['proxy', 'issuer'] as const
  return roles.reduce(
    (written, role) => withTable(written, role, tableOf(PAGES[page], texts[role])),
    readMetricsPage(page),
  )
}

function withTable(page: string, role: Role, table: string): string {
  const begin = `<!-- ${role}: made by \`npm run docs\` -->`
  const end = `<!-- /${role} -->`
  const before = page.slice(0, page.indexOf(begin) + begin.length)
  return `${before}\n${table}\n${page.slice(page.indexOf(end))}`
}

function tableOf(heads: string, text: string): string {
  const help = new Map(
    text.matchAll(/^# HELP (gatehouse_\w+) (.*)$/gm).map(([, name, words]) => [name, words]),
  )
  const types = text.matchAll(/^# TYPE (gatehouse_\w+) (\w+)$/gm)
  const rows = Array.from(types, ([, name = '', type = '']) =>
    name === CERTIFICATE_METRIC
      ? []
      : `| \`${name}\` | ${type} | ${LABELS[name] ?? ''} | ${help.get(name) ?? ''} |`,
  ).flat()
  return [heads, '|---|---|---|---|', ...rows.toSorted()].join('\n')
}

/** The label names that the page tells of, by metric. */
export const documentedLabels = (name: string): readonly string[] =>
  Array.from((LABELS[name] ?? '').matchAll(/(?:^|; )`(\w+)`/g), ([, label = '']) => label)

/** Starts both programs as they are, to see what they show. */
async function readTexts(): Promise<MetricsTexts> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-metrics-'))
  const [issuer, issuerOps, proxy, proxyOps, admin] = await freePorts(5)
  const { config } = loadConfig({
    env: {},
    set: [
      `dataDir=${join(dir, 'data')}`,
      `keys.dir=${join(dir, 'keys')}`,
      `issuer.url=http://localhost:${issuer}`,
      `issuer.listen=127.0.0.1:${issuer}`,
      `issuer.opsListen=127.0.0.1:${issuerOps}`,
      `admin.listen=127.0.0.1:${admin}`,
      `proxy.url=http://localhost:${proxy}`,
      `proxy.listen=127.0.0.1:${proxy}`,
      `proxy.opsListen=127.0.0.1:${proxyOps}`,
    ],
  })
  if (config === undefined) throw new TypeError('the settings of this script are wrong')
  const surroundings = { log: createLog('silent'), clock: systemClock }
  const issuing = await startIssuer(config, surroundings)
  const proxying = await startProxy(config, surroundings, issuing)
  const read = async (port: number | undefined) =>
    (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const texts = { proxy: await read(proxyOps), issuer: await read(issuerOps) }
  await proxying.close(0)
  await issuing.close(0)
  await rm(dir, { recursive: true })
  return texts
}

if (import.meta.main) {
  const texts = await readTexts()
  for (const page of METRICS_PAGES) writeFileSync(placeOf(page), withMetricsTables(page, texts))
}
