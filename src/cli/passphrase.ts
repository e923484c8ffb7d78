import type { Command } from 'commander'
import { readFile } from 'node:fs/promises'
import { text as readAll } from 'node:stream/consumers'
import { z } from 'zod'
import { CliError } from './cli-error.ts'
import { usage } from './flag-values.ts'
import { askUnseen, firstLineOf } from './unseen-input.ts'

const MIN_LENGTH = 12

const ask = (prompts: readonly string[]) =>
  askUnseen(prompts, 'give --passphrase-stdin or --passphrase-file')

const optionsSchema = z.object({
  passphraseStdin: z.boolean().default(false),
  passphraseFile: z.string().optional(),
})

export function addPassphraseFlags(command: Command): Command {
  return command
    .option(
      '--passphrase-stdin',
      'read the passphrase from standard input, up to the end of the line',
    )
    .option(
      '--passphrase-file <file>',
      'read it from the first line of a file; else it is asked for',
    )
}

/** The passphrase of a file that is there. */
export async function readPassphrase(command: Command): Promise<string> {
  return (await givenPassphrase(command)) ?? ask(['Passphrase: '])
}

/** The one for a new file: asked for twice, and long enough. */
export async function readNewPassphrase(command: Command): Promise<string> {
  const passphrase =
    (await givenPassphrase(command)) ?? (await ask(['Passphrase: ', 'The same again: ']))
  if (passphrase.length >= MIN_LENGTH) return passphrase
  throw usage(`the passphrase must have at least ${MIN_LENGTH} characters`)
}

async function givenPassphrase(command: Command): Promise<string | undefined> {
  const { passphraseStdin, passphraseFile } = optionsSchema.parse(command.opts())
  if (passphraseStdin && passphraseFile !== undefined) {
    throw usage('give either --passphrase-stdin or --passphrase-file')
  }
  if (passphraseStdin) return firstLineOf(await readAll(process.stdin))
  if (passphraseFile === undefined) return undefined
  const text = await readFile(passphraseFile, 'utf8').catch((cause: unknown) => {
    throw new CliError(`${passphraseFile} cannot be read`, { cause })
  })
  return firstLineOf(text)
}
