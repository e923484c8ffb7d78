import type { Command } from 'commander'
import { z } from 'zod'
import { readConfigHome } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { reportError } from './cli-error.ts'
import { openLogins } from './login-file.ts'
import { readImage, withTicking } from './ocr.ts'
import { createProgress } from './progress.ts'
import { connectingSettingsOf } from './settings-of.ts'
import { addCredentialOptions, tokenFor } from './token-commands.ts'
import { refreshLogin } from './use-login.ts'

const optionsSchema = z.object({
  clientId: z.string().optional(),
  clientSecret: z.string().optional(),
  model: z.string(),
  prompt: z.string(),
  json: z.boolean().default(false),
})

/** Of the client that is named, else of whoever is signed in, else of the demo client. */
async function callerToken(config: Config, options: z.infer<typeof optionsSchema>) {
  const isNamed = options.clientId !== undefined || options.clientSecret !== undefined
  const ofLogin = isNamed
    ? undefined
    : await refreshLogin(openLogins(readConfigHome()), config.issuer.url)
  return ofLogin ?? tokenFor(config, options)
}

export function ocrCommand(program: Command): void {
  addCredentialOptions(program.command('ocr'))
    .description('read the text out of images, through the proxy')
    .argument('<image...>', 'image files')
    .option('--model <name>', 'model to ask for', 'tencent/HunyuanOCR')
    .option('--prompt <text>', 'what to do with the image', 'Extract the text in the image.')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  npm run -s gatehouse -- ocr test/fixtures/receipt-en.jpg')
    .action(async (files: string[], _options, command: Command) => {
      const options = optionsSchema.parse(command.opts())
      const { config } = connectingSettingsOf(command)
      const { access_token: accessToken } = await callerToken(config, options)
      const progress = createProgress(process.stderr)
      const results: { file: string; text: string; usage: unknown }[] = []
      for (const file of files) {
        if (!options.json && files.length > 1) process.stdout.write(`== ${file}\n`)
        try {
          const { text, usage } = await withTicking(progress, `reading ${file}`, () =>
            readImage(file, {
              proxy: config.proxy.url,
              accessToken,
              model: options.model,
              prompt: options.prompt,
              onText(piece) {
                progress.done()
                if (!options.json) process.stdout.write(piece)
              },
            }),
          )
          if (!options.json && !text.endsWith('\n')) process.stdout.write('\n')
          results.push({ file, text, usage: usage ?? null })
        } catch (error) {
          // The others may be good; the exit code tells that one was not.
          process.exitCode = reportError(error, process.stderr)
        }
      }
      if (options.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
    })
}
