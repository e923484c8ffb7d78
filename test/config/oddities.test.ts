import { expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'

const warningsOf = (...set: string[]): string[] => {
  const result = loadConfig({ env: {}, set })
  if (result.problems !== undefined) throw new Error(result.problems.join('\n'))
  return result.warnings
}

test('the defaults are nothing to wonder at', () => {
  expect(warningsOf()).toEqual([])
})

test('a loopback URL and a listener on different ports are named, and port 0 is not', () => {
  expect(warningsOf('issuer.listen=127.0.0.1:9600')).toEqual([
    'issuer.url names port 9000, but issuer.listen is on 9600: set both',
  ])
  expect(warningsOf('issuer.listen=127.0.0.1:0')).toEqual([])
  expect(warningsOf('proxy.url=https://ocr.example', 'proxy.listen=127.0.0.1:9600')).toEqual([])
})

test('TLS under a URL that is http is named', () => {
  expect(warningsOf('issuer.tls.cert=c.pem', 'issuer.tls.key=k.pem')).toEqual([
    'issuer.url is http, but issuer.tls is set: clients will not get through',
  ])
})

test('a secret for a collector that goes over plain http, and leaves this machine, is named', () => {
  const warnings = (url: string) =>
    warningsOf(`tracing.otlpEndpoint=${url}`, 'tracing.otlpAuthorization=Basic eDp5')
  expect(warnings('http://collector:4318')).toEqual([
    'tracing.otlpEndpoint is http: whoever is on the way can read tracing.otlpAuthorization',
  ])
  expect(warnings('https://collector:4318')).toEqual([])
  expect(warnings('http://localhost:4318')).toEqual([])
  expect(warningsOf('tracing.otlpEndpoint=http://collector:4318')).toEqual([])
})

test('a slip in the underscores of an environment name is answered with the right one', () => {
  const result = loadConfig({ env: { GATEHOUSE_PROXY_UPSTREAMS: 'http://x' } })
  expect(result.problems ?? result.warnings).toEqual([
    'GATEHOUSE_PROXY_UPSTREAMS in the environment is not a setting: did you mean GATEHOUSE_PROXY__UPSTREAMS?',
  ])
})

test('conflicts are listed beside values that are wrong by themselves', () => {
  const { problems = [] } = loadConfig({
    env: {},
    set: ['proxy.listen=0.0.0.0:8080', 'proxy.workers=2', 'proxy.maxBodyBytes=x'],
  })
  expect(problems.map((problem) => problem.split(':', 1)[0])).toEqual([
    'proxy.maxBodyBytes',
    'proxy.listen',
    'proxy.workers',
  ])
})
