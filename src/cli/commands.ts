import type { Command } from 'commander'

type CommandModule = {
  /** The commands that it adds. */
  words: readonly string[]
  load: () => Promise<(program: Command) => void>
}

/** In the order of the help. Only what a command line names is loaded: with all of them, starting took half as long again. */
export const COMMAND_MODULES: readonly CommandModule[] = [
  {
    words: ['start', 'issuer', 'proxy', 'bundled-ocr', 'demo'],
    load: async () => (await import('./serve-commands.ts')).serveCommands,
  },
  { words: ['init'], load: async () => (await import('./init-command.ts')).initCommand },
  {
    words: ['dev-cert'],
    load: async () => (await import('./dev-cert-command.ts')).devCertCommand,
  },
  { words: ['status'], load: async () => (await import('./status-command.ts')).statusCommand },
  { words: ['config'], load: async () => (await import('./config-commands.ts')).configCommands },
  { words: ['tenants'], load: async () => (await import('./tenant-commands.ts')).tenantCommands },
  { words: ['clients'], load: async () => (await import('./client-commands.ts')).clientCommands },
  { words: ['users'], load: async () => (await import('./user-commands.ts')).userCommands },
  { words: ['keys'], load: async () => (await import('./key-commands.ts')).keyCommands },
  { words: ['tokens'], load: async () => (await import('./token-commands.ts')).tokenCommands },
  { words: ['revoke'], load: async () => (await import('./revoke-command.ts')).revokeCommand },
  { words: ['audit'], load: async () => (await import('./audit-commands.ts')).auditCommands },
  { words: ['usage'], load: async () => (await import('./usage-command.ts')).usageCommand },
  { words: ['backup'], load: async () => (await import('./backup-command.ts')).backupCommand },
  { words: ['restore'], load: async () => (await import('./restore-command.ts')).restoreCommand },
  {
    words: ['login', 'logout'],
    load: async () => (await import('./login-commands.ts')).loginCommands,
  },
  { words: ['ocr'], load: async () => (await import('./ocr-command.ts')).ocrCommand },
  {
    words: ['completion'],
    load: async () => (await import('./completion-command.ts')).completionCommand,
  },
]

/** Adds the command that the arguments name; all of them where they name none, and to complete their words. */
export async function addCommands(program: Command, args: readonly string[]): Promise<void> {
  const word = firstWordOf(args)
  const named = COMMAND_MODULES.filter(({ words }) => words.includes(word))
  const isOfAll = named.length === 0 || word === 'completion'
  for (const { load } of isOfAll ? COMMAND_MODULES : named) {
    const add = await load()
    add(program)
  }
}

/** Behind the options of all commands, each of which has a value. */
function firstWordOf(args: readonly string[]): string {
  const at = args.findIndex(
    (arg, i) => !arg.startsWith('-') && !/^--(?:config|set)$/.test(args[i - 1] ?? ''),
  )
  return args[at] ?? ''
}
