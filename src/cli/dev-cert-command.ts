import { isIP } from 'node:net'
import { join } from 'node:path'
import type { Command } from 'commander'
import { z } from 'zod'
import { systemClock } from '../kernel/clock.ts'
import { isLoopbackHost } from '../kernel/listen-address.ts'
import type { Config } from '../config/schema.ts'
import { parseCertificateName } from './certificate-name.ts'
import { CliError, EXIT } from './cli-error.ts'
import type { DevCertificate } from './dev-cert-files.ts'
import { writeJson } from './output.ts'
import { settingsOf } from './settings-of.ts'

const LOCAL_NAMES = ['localhost', '127.0.0.1', '::1']
const optionsSchema = z.object({
  dir: z.string().min(1).optional(),
  json: z.literal(true).optional(),
})

export function devCertCommand(program: Command): void {
  program
    .command('dev-cert')
    .description('make a CA and a TLS certificate for this machine, or find those of before')
    .argument('[names...]', 'DNS names and IP addresses besides localhost, 127.0.0.1 and ::1')
    .option('--dir <folder>', 'where the files are (default: dev-cert in keys.dir)')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  npm run -s gatehouse -- dev-cert\n  npm run -s gatehouse -- dev-cert ocr.lan 192.168.1.20',
    )
    .action(async (given: string[], _options, command: Command) => {
      const { config } = settingsOf(command)
      const { dir = join(config.keys.dir, 'dev-cert'), json } = optionsSchema.parse(command.opts())
      const names = given.map(requireName)
      const { ensureDevCertificate } = await import('./dev-cert-files.ts')
      const made = await ensureDevCertificate(dir, [...LOCAL_NAMES, ...names], systemClock())
      if (json === true) return writeJson(toJson(made))
      process.stdout.write(introduction(made, config, names))
    })
}

function requireName(given: string): string {
  const name = parseCertificateName(given)
  if (name !== undefined) return name
  throw new CliError(`${given} is neither a DNS name nor an IP address`, { exitCode: EXIT.usage })
}

const toJson = ({ ca, cert, key, names, expiresAtMs, made }: DevCertificate) => ({
  ca,
  cert,
  key,
  names,
  expires_at: Math.floor(expiresAtMs / 1000),
  made,
})

function introduction(
  { ca, cert, key, names, expiresAtMs, made }: DevCertificate,
  config: Config,
  given: readonly string[],
): string {
  const day = new Date(expiresAtMs).toISOString().slice(0, 10)
  const host = given.find((name) => !name.startsWith('*')) ?? 'localhost'
  const tls = `tls: { cert: ${JSON.stringify(cert)}, key: ${JSON.stringify(key)} }`
  const listener = (name: 'issuer' | 'proxy') => {
    const port = config[name].listen.replace(/^.*:/, '')
    const urlHost = isIP(host) === 6 ? `[${host}]` : host
    return [
      `${name}:`,
      `  url: https://${urlHost}:${port}`,
      ...(isLoopbackHost(host) ? [] : [`  listen: 0.0.0.0:${port}`]),
      `  ${tls}`,
    ]
  }
  return `${made.includes('cert') ? 'Made' : 'Found'} a certificate for ${names.join(', ')}, good until ${day}.
${made.includes('ca') ? 'Its CA is new: others have to trust it first.\n' : ''}
Put this into your settings, gatehouse.yaml, say:

trustedCa: ${JSON.stringify(ca)}
${[...listener('issuer'), 'admin:', `  ${tls}`, ...listener('proxy')].join('\n')}

and start with them: npm start -- --config gatehouse.yaml

Let others trust ${ca}:

  curl --cacert ${ca} https://…
  NODE_EXTRA_CA_CERTS=${ca} node …
  SSL_CERT_FILE=${ca} python …
  browsers: import it as an authority

Never share ca-key.pem beside it: whoever has it can be any server to those who trust this CA.
`
}
