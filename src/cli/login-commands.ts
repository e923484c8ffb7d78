import type { Command } from 'commander'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import { readConfigHome } from '../config/load.ts'
import { systemClock } from '../kernel/clock.ts'
import { CliError } from './cli-error.ts'
import { awaitApproval, beginDeviceLogin, type DeviceLogin } from './device-login.ts'
import { openLogins } from './login-file.ts'
import { writeJson } from './output.ts'
import { createProgress } from './progress.ts'
import { drawQrCode } from './qr-code.ts'
import { connectingSettingsOf } from './settings-of.ts'
import { TERMINAL_CLIENT_ID, TERMINAL_SCOPE } from './terminal-client.ts'
import { endLogin, revoke } from './use-login.ts'

const loginOptions = z.object({
  clientId: z.string(),
  scope: z.string(),
  json: z.boolean().default(false),
})
const logoutOptions = z.object({
  local: z.boolean().default(false),
  json: z.boolean().default(false),
})

export function loginCommands(program: Command): void {
  program
    .command('login')
    .description('sign in with a browser, on this device or another; `ocr` then reads in your name')
    .option(
      '--client-id <id>',
      'a public client of your tenant, with device_code',
      TERMINAL_CLIENT_ID,
    )
    .option('--scope <scopes>', 'what to ask for', TERMINAL_SCOPE)
    .option('--json', 'one JSON document in the end')
    .addHelpText('after', '\nExample:\n  npm run -s gatehouse -- login')
    .action(async (_options, command: Command) => {
      const { clientId, scope, json } = loginOptions.parse(command.opts())
      const { issuer } = connectingSettingsOf(command).config
      const logins = openLogins(readConfigHome())
      // Whether it can be kept is found out before somebody approves it.
      await logins.change(issuer.url, async (known) => ({ next: known, result: undefined }))
      const login = await beginDeviceLogin(issuer.url, { clientId, scope })
      process.stderr.write(instructions(login, process.stderr))
      const tokens = await waitFor(login)
      if (tokens.refresh_token === undefined) {
        throw new CliError('the issuer gave no refresh token', {
          hint: `the client ${clientId} needs the grant refresh_token`,
        })
      }
      const kept = { issuer: issuer.url, client_id: clientId, refresh_token: tokens.refresh_token }
      const replaced = await logins.change(issuer.url, async (known) => ({
        next: kept,
        result: known,
      }))
      // What it was good for has ended, or ends by itself: no reason to fail.
      if (replaced !== undefined) await revoke(replaced).catch(() => undefined)
      if (json) writeJson({ issuer: issuer.url, client_id: clientId, scope: tokens.scope ?? scope })
      else
        process.stdout.write(`Signed in at ${issuer.url}. The login is kept in ${logins.path}.\n`)
    })

  program
    .command('logout')
    .description('revoke the login of this user and forget it')
    .option('--local', 'only forget it, for when the issuer cannot be reached')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  npm run -s gatehouse -- logout')
    .action(async (_options, command: Command) => {
      const { local, json } = logoutOptions.parse(command.opts())
      const { issuer } = connectingSettingsOf(command).config
      const logins = openLogins(readConfigHome())
      const wasSignedIn = local
        ? await logins.change(issuer.url, async (known) => ({
            next: undefined,
            result: known !== undefined,
          }))
        : await endLogin(logins, issuer.url)
      if (json) writeJson({ issuer: issuer.url, signed_out: wasSignedIn })
      else if (wasSignedIn) process.stdout.write(`Signed out at ${issuer.url}.\n`)
      else process.stdout.write(`Nobody was signed in at ${issuer.url}.\n`)
    })
}

async function waitFor(login: DeviceLogin) {
  const progress = createProgress(process.stderr)
  try {
    return await awaitApproval(login, {
      pause: (ms) => setTimeout(ms),
      clock: systemClock,
      onWait: (seconds) => progress.update(`waiting for you … ${formatRemaining(seconds)} left`),
    })
  } finally {
    progress.done()
  }
}

const formatRemaining = (seconds: number): string =>
  `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`

/** On stderr: what is printed on stdout may be read by a program. The QR code only where a person can see all of it. */
function instructions(login: DeviceLogin, out: NodeJS.WriteStream): string {
  const { userCode, verificationUri, verificationUriComplete } = login
  const lines = drawQrCode(verificationUriComplete)
  const isWide = out.isTTY && out.columns >= (lines[0]?.length ?? Infinity)
  const picture = isWide ? `\n${lines.join('\n')}\n` : ''
  return `Open ${verificationUri} in a browser and enter the code

    ${userCode}
${picture}
or open ${verificationUriComplete} and compare it.
`
}
