import { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { addCommands, COMMAND_MODULES } from '../../src/cli/commands.ts'

async function namesFor(...args: string[]): Promise<string[]> {
  const program = new Command()
  await addCommands(program, args)
  return program.commands.map((command) => command.name())
}

const EVERY = COMMAND_MODULES.flatMap(({ words }) => words)

describe('what is loaded', () => {
  test.each(COMMAND_MODULES)('for $words are these commands', async ({ words, load }) => {
    const program = new Command()
    const add = await load()
    add(program)
    expect(program.commands.map((command) => command.name())).toEqual(words)
  })

  test.each([
    [['keys', 'list'], ['keys']],
    [['--config', 'proxy', '--set', 'a=b', 'keys'], ['keys']],
    [
      ['--config=x', 'logout', 'keys'],
      ['login', 'logout'],
    ],
  ])('for %j is the command that it names', async (args, names) => {
    expect(await namesFor(...args)).toEqual(names)
  })

  test.each([[[]], [['--help']], [['help', 'keys']], [['completion', 'bash']], [['kyes']]])(
    'for %j is every command',
    async (args) => {
      expect(await namesFor(...args)).toEqual(EVERY)
    },
  )
})
