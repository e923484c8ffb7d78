import type { Command } from 'commander'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { text as readAll } from 'node:stream/consumers'
import { z } from 'zod'
import { CliError } from './cli-error.ts'
import { usage } from './flag-values.ts'

const MIN_LENGTH = 12

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

const firstLineOf = (text: string): string => text.split(/\r?\n/, 1)[0] ?? ''

/** Asks on the terminal without showing what is typed, once for each prompt; the answers must be the same. */
async function ask(prompts: readonly string[]): Promise<string> {
  if (!process.stdin.isTTY) throw usage('give --passphrase-stdin or --passphrase-file')
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: unseen, terminal: true })
  terminal.once('SIGINT', () => process.exit(130))
  const answers: string[] = []
  try {
    for (const prompt of prompts) {
      process.stderr.write(prompt)
      answers.push(await terminal.question(''))
      process.stderr.write('\n')
    }
  } finally {
    terminal.close()
  }
  if (new Set(answers).size > 1) throw usage('these were two different passphrases')
  return answers[0] ?? ''
}
