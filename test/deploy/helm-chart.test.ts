import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { z } from 'zod'
import { loadConfig } from '../../src/config/load.ts'
import { readVersion } from '../support/version.ts'
import { useTempFolders } from '../support/temp-folders.ts'
import { hasTool } from '../support/tool.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CHART = join(ROOT, 'deploy/helm/gatehouse')
/** The oldest version that the chart takes, and the newest that the schemas have. */
const KUBERNETES_VERSIONS = ['1.30', '1.37']

const hasHelm = hasTool(['helm', 'version'], 'THE HELM CHART IS NOT TRIED')
const hasValidator =
  hasHelm && hasTool(['kubernetes-validate', '--version'], 'THE HELM CHART IS NOT SCHEMA-CHECKED')

const minimal = {
  tls: { existingSecret: 'gatehouse-tls' },
  redis: { existingSecret: 'gatehouse-redis' },
  keys: { existingSecret: 'gatehouse-keys' },
  admin: { existingSecret: 'gatehouse-admin' },
  issuer: { url: 'https://auth.example.com' },
  proxy: { url: 'https://ocr.example.com', upstreams: ['http://hunyuanocr.models.svc:8000'] },
  networkPolicy: { modelServer: { podLabels: { app: 'hunyuanocr' } } },
}
const behindTerminator = {
  ...minimal,
  tls: { existingSecret: '' },
  trustedProxies: ['10.0.0.0/8'],
}
const RULES = readFileSync(join(ROOT, 'deploy/prometheus/alerts.yml'), 'utf8')
const everything = {
  ...minimal,
  image: { repository: 'registry.example.com/gatehouse', tag: '0.1.0', pullPolicy: 'Always' },
  imagePullSecrets: [{ name: 'registry' }],
  ca: { existingSecret: 'company-ca', key: 'ca.pem' },
  issuer: {
    ...minimal.issuer,
    autoscaling: { enabled: true },
    service: { type: 'LoadBalancer', annotations: { 'example.com/internal': 'true' } },
    podAnnotations: { 'example.com/team': 'ocr' },
  },
  proxy: {
    ...minimal.proxy,
    upstreamApiKey: { existingSecret: 'vllm', key: 'key' },
    jwksUrl: 'https://gatehouse-issuer.ocr.svc/jwks',
    drainSeconds: 60,
    autoscaling: { enabled: true },
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    tolerations: [{ key: 'ocr', operator: 'Exists' }],
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'Exists' }] }],
        },
      },
    },
  },
  config: { tokens: { accessTtlSeconds: 600 }, proxy: { maxInFlightPerUpstream: 16 } },
  networkPolicy: {
    from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'ingress' } } }],
    monitoringFrom: [{ namespaceSelector: { matchLabels: { purpose: 'monitoring' } } }],
    modelServer: { namespace: 'models', podLabels: { app: 'hunyuanocr' } },
  },
  serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
  prometheusRule: { enabled: true, rules: RULES },
}
const guide = readFileSync(join(ROOT, 'docs/guides/deploy-kubernetes.md'), 'utf8')
const fromGuide = z
  .looseObject({ proxy: z.looseObject({ drainSeconds: z.number().optional() }) })
  .parse(parse(/```yml\n([^]*?)```/.exec(guide)?.[1] ?? ''))
const SETS = {
  minimal,
  'as in the guide': fromGuide,
  'behind a terminator': behindTerminator,
  everything,
}

const container = z.object({
  name: z.string(),
  args: z.array(z.string()).default([]),
  env: z.array(z.object({ name: z.string(), value: z.string() })).default([]),
  securityContext: z.unknown(),
  resources: z.object({ requests: z.object({}), limits: z.object({}) }),
  volumeMounts: z.array(
    z.object({ name: z.string(), mountPath: z.string(), readOnly: z.boolean().default(false) }),
  ),
})
const podSpec = z.object({
  automountServiceAccountToken: z.boolean(),
  enableServiceLinks: z.boolean(),
  terminationGracePeriodSeconds: z.number(),
  securityContext: z.unknown(),
  initContainers: z.array(container).default([]),
  containers: z.array(container.extend({ lifecycle: z.unknown().optional() })),
  volumes: z.array(z.looseObject({ name: z.string() })),
})
const manifest = z.object({
  kind: z.string(),
  metadata: z.object({
    name: z.string(),
    namespace: z.string().optional(),
    labels: z.record(z.string(), z.string()).default({}),
  }),
  data: z.record(z.string(), z.string()).optional(),
  spec: z.unknown().optional(),
})
type Manifest = z.infer<typeof manifest>
const relabeling = z.strictObject({
  sourceLabels: z.tuple([z.string()]),
  targetLabel: z.string(),
  replacement: z.string(),
})
const monitorSpec = z.object({
  selector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
  endpoints: z.tuple([z.object({ relabelings: z.tuple([relabeling]) })]),
})

const makeFolder = useTempFolders()

function helm(args: readonly string[], values: object): { status: number | null; output: string } {
  const file = join(makeFolder(), 'values.yaml')
  writeFileSync(file, stringify(values))
  const { status, stdout, stderr } = spawnSync('helm', [...args, '--values', file], {
    encoding: 'utf8',
  })
  return { status, output: status === 0 ? stdout : stderr }
}

const renderText = (values: object, release = 'gatehouse'): string =>
  helm(['template', release, CHART, '--namespace', 'ocr'], values).output

const render = (values: object, release?: string): Manifest[] =>
  parseAllDocuments(renderText(values, release))
    .map((document) => document.toJS() as unknown)
    .filter((document) => document !== null)
    .map((document) => manifest.parse(document))

const pick = (manifests: readonly Manifest[], kind: string) =>
  manifests.filter((each) => each.kind === kind)

const pods = (manifests: readonly Manifest[]) =>
  pick(manifests, 'Deployment').map(({ metadata, spec }) => ({
    name: metadata.name,
    spec: z.object({ template: z.object({ spec: podSpec }) }).parse(spec).template.spec,
  }))

describe('the Helm chart', () => {
  test('has the version of the package', () => {
    const chart: unknown = parse(readFileSync(join(CHART, 'Chart.yaml'), 'utf8'))
    const version = readVersion()
    expect(chart).toMatchObject({ appVersion: version, version })
  })

  test('has a line in its README for each value', () => {
    const readme = readFileSync(join(CHART, 'README.md'), 'utf8')
    const values: unknown = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8'))
    const paths = pathsOf(values, [])
      .map((path) => path.replace(/^(issuer|proxy)\.(?!url|upstream|jwks|drain)/, '*.'))
      .filter((path, i, all) => all.indexOf(path) === i)
    expect(paths.filter((path) => !readme.includes(`\`${path}\``))).toEqual([])
  })
})

describe.skipIf(!hasHelm).each(Object.entries(SETS))('the Helm chart, %s', (_name, values) => {
  test('passes helm lint --strict', () => {
    expect(helm(['lint', '--strict', CHART], values)).toMatchObject({ status: 0 })
  })

  test.skipIf(!hasValidator).each(KUBERNETES_VERSIONS)('fits the schemas of %s', (version) => {
    const file = join(makeFolder(), 'all.yaml')
    const manifests = render(values)
    // The schemas of the Prometheus operator are not among Kubernetes' own.
    const own = parseAllDocuments(renderText(values)).filter(
      (document) => !['ServiceMonitor', 'PrometheusRule'].includes(String(document.get('kind'))),
    )
    writeFileSync(file, own.map(String).join('---\n'))
    const validate = (path: string) =>
      spawnSync('kubernetes-validate', ['--strict', '-k', version, path], { encoding: 'utf8' })
    const { status, stdout, stderr } = validate(file)
    const passed = `${stdout}${stderr}`.match(/ passed /g)?.length ?? 0
    const foreign = [...pick(manifests, 'ServiceMonitor'), ...pick(manifests, 'PrometheusRule')]
    expect({ status, passed }).toEqual({ status: 0, passed: manifests.length - foreign.length })
    writeFileSync(file, readFileSync(file, 'utf8').replace('maxUnavailable:', 'maxUnavailabel:'))
    expect(validate(file).status).not.toBe(0)
  })

  test('has a configuration that the issuer and the proxy accept', () => {
    const manifests = render(values)
    const [config] = pick(manifests, 'ConfigMap')
    const folder = makeFolder()
    const secret = join(folder, 'secret')
    for (const { name, spec } of pods(manifests)) {
      const env = Object.fromEntries(
        (spec.containers[0]?.env ?? []).map(({ name: key, value }) => [key, value]),
      )
      writeFileSync(join(folder, 'gatehouse.yaml'), config?.data?.['gatehouse.yaml'] ?? '')
      const isIssuer = name.endsWith('-issuer')
      writeFileSync(secret, isIssuer ? Buffer.alloc(32).toString('base64') : 'secret')
      expect(Object.keys(env)).toContain('GATEHOUSE_REDIS__URL_FILE')
      const loaded = loadConfig({
        env: {
          ...Object.fromEntries(
            Object.entries(env).map(([key, value]) => [
              key,
              key.endsWith('_FILE') ? secret : value,
            ]),
          ),
          GATEHOUSE_CONFIG: join(folder, 'gatehouse.yaml'),
        },
      })
      expect(loaded).toMatchObject({
        warnings: [],
        config: {
          issuer: { url: 'https://auth.example.com', listen: '0.0.0.0:9000' },
          admin: { listen: '127.0.0.1:9001' },
          proxy: { url: 'https://ocr.example.com', listen: '0.0.0.0:8080' },
          audit: { sink: 'redis' },
        },
      })
    }
  })

  test('gives its containers no privilege, and lets them write in their folders alone', () => {
    for (const { spec } of pods(render(values))) {
      expect(spec).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 10001,
          seccompProfile: { type: 'RuntimeDefault' },
        },
      })
      for (const each of [...spec.initContainers, ...spec.containers]) {
        expect(each.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
        const writable = each.volumeMounts.filter(({ readOnly }) => !readOnly)
        expect(['/var/lib/gatehouse', '/tmp']).toEqual(
          expect.arrayContaining(writable.map(({ mountPath }) => mountPath)),
        )
        // Every secret is a file.
        expect(JSON.stringify(each.env)).not.toContain('secretKeyRef')
        expect(each.env.filter(({ name }) => /KEY$|URL$|PASSWORD/.test(name))).toEqual([])
      }
      const named = new Set(spec.volumes.map(({ name }) => name))
      const mounted = [...spec.initContainers, ...spec.containers].flatMap((each) =>
        each.volumeMounts.map(({ name }) => name),
      )
      expect(new Set(mounted)).toEqual(named)
    }
  })

  test('trusts authorities by the setting that is read anew when they change', () => {
    const manifests = render(values)
    const [config] = pick(manifests, 'ConfigMap')
    const { trustedCa } = z
      .looseObject({ trustedCa: z.string().optional() })
      .parse(parse(config?.data?.['gatehouse.yaml'] ?? ''))
    expect(trustedCa).toBe('ca' in values ? '/run/secrets/gatehouse/ca/ca.crt' : undefined)
    for (const { spec } of pods(manifests)) {
      const [main] = spec.containers
      expect(main?.env.map(({ name }) => name)).not.toContain('NODE_EXTRA_CA_CERTS')
      const mounts = main?.volumeMounts.filter(({ name }) => name === 'ca')
      expect(mounts?.map(({ mountPath }) => `${mountPath}/ca.crt`)).toEqual(
        trustedCa === undefined ? [] : [trustedCa],
      )
    }
  })

  test('gives only the issuer what seals the keys', () => {
    const holders = pods(render(values)).filter(({ spec }) =>
      JSON.stringify(spec.volumes).includes('gatehouse-keys'),
    )
    expect(holders.map(({ name }) => name)).toEqual(['gatehouse-issuer'])
  })

  test('lets running calls end before a pod is killed', () => {
    const { proxy } = values
    const drainSeconds = ('drainSeconds' in proxy ? proxy.drainSeconds : undefined) ?? 30
    for (const { spec } of pods(render(values))) {
      expect(spec.containers[0]?.lifecycle).toEqual({ preStop: { sleep: { seconds: 5 } } })
      expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(drainSeconds + 5)
    }
  })

  test('keeps some of each role while nodes are drained, and lets nothing out of the ops listeners', () => {
    const manifests = render(values)
    const names = pick(manifests, 'PodDisruptionBudget').map(({ metadata }) => metadata.name)
    expect(names).toEqual(['gatehouse-issuer', 'gatehouse-proxy'])
    for (const { metadata, spec } of pick(manifests, 'Service')) {
      const isForOperators = metadata.name.endsWith('-ops')
      expect(spec).toMatchObject(
        isForOperators
          ? { clusterIP: 'None', ports: [{ name: 'ops' }] }
          : { ports: [{ name: 'web' }] },
      )
    }
  })
})

describe.skipIf(!hasHelm)('the network policies of the Helm chart', () => {
  const peerOfProxy = {
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'ocr' } },
    podSelector: { matchLabels: { 'app.kubernetes.io/component': 'proxy' } },
  }

  test('let only the proxy reach the model server, in whatever namespace it is', () => {
    const policy = pick(render(everything), 'NetworkPolicy').find(({ metadata }) =>
      metadata.name.endsWith('-model-server'),
    )
    expect(policy?.metadata.namespace).toBe('models')
    expect(policy?.spec).toMatchObject({
      podSelector: { matchLabels: { app: 'hunyuanocr' } },
      policyTypes: ['Ingress'],
      ingress: [{ from: [peerOfProxy], ports: [{ port: 8000 }] }],
    })
    expect(policy?.spec).toHaveProperty('ingress.length', 1)
    expect(policy?.spec).toHaveProperty('ingress.0.from.length', 1)
  })

  test.each([
    ['the model server is open by intention', { modelServer: { openToEveryone: true } }, 2],
    ['policies are off altogether', { enabled: false }, 0],
  ])('are without that one where %s', (_name, networkPolicy, count) => {
    expect(pick(render({ ...minimal, networkPolicy }), 'NetworkPolicy')).toHaveLength(count)
  })

  test('let only whom is named reach the ops listeners', () => {
    const rules = (values: object) =>
      pick(render(values), 'NetworkPolicy')
        .filter(({ metadata }) => !metadata.name.endsWith('-model-server'))
        .map(({ spec }) => z.object({ ingress: z.array(z.looseObject({})) }).parse(spec).ingress)
    for (const ingress of rules(minimal)) {
      expect(ingress).toEqual([{ ports: [{ port: 'web', protocol: 'TCP' }] }])
    }
    for (const ingress of rules(everything)) {
      expect(ingress[1]).toEqual({
        ports: [{ port: 'ops', protocol: 'TCP' }],
        from: everything.networkPolicy.monitoringFrom,
      })
    }
  })
})

describe.skipIf(!hasHelm)('the number of proxies', () => {
  const scalersAndReplicas = (values: object) => {
    const manifests = render(values)
    return {
      scalers: pick(manifests, 'HorizontalPodAutoscaler').map(({ metadata }) => metadata.name),
      replicas: pick(manifests, 'Deployment').map(
        ({ spec }) => z.object({ replicas: z.number().optional() }).parse(spec).replicas,
      ),
    }
  }

  test('is fixed unless it is asked otherwise: each proxy more sends the model servers more', () => {
    expect(scalersAndReplicas(minimal)).toEqual({ scalers: [], replicas: [2, 2] })
  })

  test('is left to the autoscaler where that is asked for', () => {
    expect(scalersAndReplicas(everything)).toEqual({
      scalers: ['gatehouse-issuer', 'gatehouse-proxy'],
      replicas: [undefined, undefined],
    })
  })
})

describe.skipIf(!hasHelm)('what the Prometheus operator is told', () => {
  const jobsIn = (text: string) =>
    new Set([...text.matchAll(/job=\\?"([^"\\]+)/g)].map(([, job]) => job))

  /** As the operator does: of each Service that is chosen, a label that Prometheus then makes the job of. */
  function jobsOf(manifests: readonly Manifest[]): string[] {
    const monitor = monitorSpec.parse(pick(manifests, 'ServiceMonitor')[0]?.spec)
    const chosen = pick(manifests, 'Service').filter(({ metadata }) =>
      Object.entries(monitor.selector.matchLabels).every(
        ([name, value]) => metadata.labels[name] === value,
      ),
    )
    const [{ sourceLabels, targetLabel, replacement }] = monitor.endpoints[0].relabelings
    expect(targetLabel).toBe('job')
    return chosen.map(({ metadata }) => {
      const labels = Object.entries(metadata.labels).map(([name, value]) => [
        `__meta_kubernetes_service_label_${name.replaceAll(/[^a-zA-Z0-9_]/g, '_')}`,
        value,
      ])
      const source: unknown = Object.fromEntries(labels)[sourceLabels[0]]
      return replacement.replace('$1', String(source))
    })
  }

  test.each(['gatehouse', 'ocr-of-team-a'])(
    'gives the release %s the jobs that the alerts and the dashboard ask for',
    (release) => {
      const jobs = jobsOf(render(everything, release))
      expect(jobs).toEqual(['gatehouse-issuer', 'gatehouse-proxy'])
      expect(jobsIn(RULES)).toEqual(new Set(jobs))
      const dashboard = readFileSync(join(ROOT, 'deploy/grafana/gatehouse.json'), 'utf8')
      expect(jobsIn(dashboard)).toEqual(new Set(jobs))
    },
  )

  test('has the rules of the file', () => {
    const [rule] = pick(render(everything), 'PrometheusRule')
    expect(rule?.spec).toEqual(parse(RULES))
  })
})

describe.skipIf(!hasHelm)('values that cannot work', () => {
  test.each([
    ['no certificate and no terminator', { ...minimal, tls: {} }, 'Set tls.existingSecret'],
    ['plain http', { ...minimal, issuer: { url: 'http://auth.example.com' } }, 'issuer'],
    ['no model server', { ...minimal, proxy: { url: 'https://ocr.example.com' } }, 'upstreams'],
    ['no Redis', { ...minimal, redis: {} }, 'redis'],
    ['a misspelt value', { ...minimal, proxi: {} }, 'proxi'],
    [
      'fewer pods at most than at least',
      { ...minimal, proxy: { ...minimal.proxy, autoscaling: { minReplicas: 11 } } },
      'minReplicas is above maxReplicas',
    ],
    [
      'a ServiceMonitor, and a policy that keeps Prometheus away',
      { ...minimal, serviceMonitor: { enabled: true } },
      'set networkPolicy.monitoringFrom',
    ],
    ['no labels of the model server', { ...minimal, networkPolicy: {} }, 'modelServer.podLabels'],
    [
      'a model server that is protected and open',
      {
        ...minimal,
        networkPolicy: { modelServer: { podLabels: { app: 'a' }, openToEveryone: true } },
      },
      'exclude each other',
    ],
    [
      'as many requests as the autoscaler likes',
      { ...minimal, proxy: { ...minimal.proxy, autoscaling: { enabled: true } } },
      'set config.proxy.maxInFlightPerUpstream',
    ],
  ])('%s: the chart says so', (_name, values, words) => {
    const { status, output } = helm(['template', 'gatehouse', CHART], values)
    expect(status).not.toBe(0)
    expect(output).toContain(words)
  })
})

test.skipIf(!hasHelm)('the chart packs', () => {
  const folder = makeFolder()
  execFileSync('helm', ['package', CHART, '--destination', folder], { stdio: 'ignore' })
  expect(readFileSync(join(folder, `gatehouse-${readVersion()}.tgz`)).length).toBeGreaterThan(0)
})

/** The paths of all leaves; a list or an empty mapping is one. */
function pathsOf(node: unknown, path: readonly string[]): string[] {
  const isBranch = typeof node === 'object' && node !== null && !Array.isArray(node)
  const entries = isBranch ? Object.entries(node) : []
  if (entries.length === 0 || path.at(-1) === 'resources') return [path.join('.')]
  return entries.flatMap(([key, child]) => pathsOf(child, [...path, key]))
}
