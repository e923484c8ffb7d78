import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { usage } from './flag-values.ts'

/**
 * Asks on the terminal without showing what is typed, once for each prompt; the answers must be the same. Without a
 * terminal a usage error, in the words of `otherwise`.
 */
export async function askUnseen(prompts: readonly string[], otherwise: string): Promise<string> {
  if (!process.stdin.isTTY) throw usage(otherwise)
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
  if (new Set(answers).size > 1) throw usage('these were two different answers')
  return answers[0] ?? ''
}

export const firstLineOf = (text: string): string => text.split(/\r?\n/, 1)[0] ?? ''
