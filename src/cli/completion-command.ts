import { Argument, type Command } from 'commander'
import { z } from 'zod'

const shellSchema = z.enum(['bash', 'zsh', 'fish'])
type Shell = z.infer<typeof shellSchema>

export function completionCommand(program: Command): void {
  program
    .command('completion')
    .description('print a script that completes commands and flags in a shell')
    .addArgument(new Argument('<shell>', 'for which').choices(shellSchema.options))
    .addHelpText('after', '\nExample:\n  source <(npm run -s gatehouse -- completion bash)')
    .action((shell: string) => {
      process.stdout.write(completionScript(shellSchema.parse(shell), wordsByCommand(program)))
    })
}

/** What may follow each command, by its words: `clients create` → its flags. */
function wordsByCommand(command: Command, path = ''): [path: string, words: string[]][] {
  const help = command.createHelp()
  const children = help.visibleCommands(command).filter((child) => child.name() !== 'help')
  const flags = help
    .visibleOptions(command)
    .flatMap(({ long }) => (long === undefined || long === null ? [] : [long]))
  const words = [...children.map((child) => child.name()), ...flags]
  const below = children.flatMap((child) =>
    wordsByCommand(child, path === '' ? child.name() : `${path} ${child.name()}`),
  )
  return [[path, words], ...below]
}

type Words = ReturnType<typeof wordsByCommand>

function completionScript(shell: Shell, words: Words): string {
  switch (shell) {
    case 'bash':
      return bashScript(words)
    case 'zsh':
      return `#compdef gatehouse\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(words)}`
    case 'fish':
      return fishScript(words)
  }
}

/** The words before the cursor that are no flags say which command it is; the longest known beginning counts. */
function bashScript(words: Words): string {
  const cases = words
    .filter(([path]) => path !== '')
    .map(([path, next]) => `      '${path}') words='${next.join(' ')}' ;;`)
  const [, first = []] = words[0] ?? []
  return `_gatehouse() {
  local words='${first.join(' ')}' path='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) continue ;; esac
    path="\${path:+$path }$word"
    case "$path" in
${cases.join('\n')}
    esac
  done
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _gatehouse gatehouse
`
}

function fishScript(words: Words): string {
  const cases = words
    .filter(([path]) => path !== '')
    .map(([path, next]) => `      case '${path}'\n        set words ${next.join(' ')}`)
  const [, first = []] = words[0] ?? []
  return `function __gatehouse_words
  set -l words ${first.join(' ')}
  set -l path
  for word in (commandline -opc)[2..]
    string match -q -- '-*' $word; and continue
    set path (string trim "$path $word")
    switch $path
${cases.join('\n')}
    end
  end
  string join \\n -- $words
end
complete -c gatehouse -f -a '(__gatehouse_words)'
`
}
