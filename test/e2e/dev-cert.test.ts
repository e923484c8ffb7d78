import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'
import { runCommand } from '../support/command.ts'
import { useTempFolders } from '../support/temp-folders.ts'

const newFolder = useTempFolders()

describe('gatehouse dev-cert', () => {
  test('prints settings that are good as they are', async () => {
    const dir = newFolder()
    const { code, stdout } = await runCommand(['dev-cert', '--dir', dir])
    expect(code).toBe(0)
    expect(stdout).toContain(`curl --cacert ${join(dir, 'ca.pem')}`)
    const file = join(dir, 'gatehouse.yaml')
    const settings = /^trustedCa:.*?(?=\n\n)/ms.exec(stdout)?.[0] ?? ''
    expect(parseYaml(settings)).toMatchObject({ issuer: { url: 'https://localhost:9000' } })
    writeFileSync(file, settings)
    const loaded = loadConfig({ env: {}, file })
    expect(loaded).toMatchObject({ warnings: [] })
    const check = await runCommand(['--config', file, 'config', 'check'])
    expect([check.code, check.stderr]).toEqual([0, ''])
  })

  test('lets other machines in when a name is of another', async () => {
    const args = ['dev-cert', '--dir', newFolder(), 'OCR.lan', '[2001:db8::1]']
    const { stdout } = await runCommand(args)
    expect(stdout).toContain('for localhost, 127.0.0.1, ::1, ocr.lan, 2001:db8::1, good until')
    expect(stdout).toContain('  url: https://ocr.lan:9000\n  listen: 0.0.0.0:9000\n')
  })

  test('is one JSON document for a program, and finds what is there', async () => {
    const dir = newFolder()
    const args = ['--set', `keys.dir=${dir}`, 'dev-cert', '--json']
    const first = JSON.parse((await runCommand(args)).stdout) as Record<string, unknown>
    expect(first).toEqual({
      ca: join(dir, 'dev-cert/ca.pem'),
      cert: join(dir, 'dev-cert/cert.pem'),
      key: join(dir, 'dev-cert/key.pem'),
      names: ['localhost', '127.0.0.1', '::1'],
      expires_at: expect.any(Number) as number,
      made: ['ca', 'cert'],
    })
    expect(JSON.parse((await runCommand(args)).stdout)).toEqual({ ...first, made: [] })
  })

  test('refuses what is no name, and makes nothing', async () => {
    const dir = join(newFolder(), 'none')
    const { code, stderr } = await runCommand(['dev-cert', '--dir', dir, 'a/b'])
    expect([code, existsSync(dir)]).toEqual([64, false])
    expect(stderr).toBe('error: a/b is neither a DNS name nor an IP address\n')
  })
})
