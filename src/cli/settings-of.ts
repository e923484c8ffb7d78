import type { Command } from 'commander'
import { z } from 'zod'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { ConfigError } from '../kernel/errors.ts'
import { trustCa } from './trusted-ca.ts'

const globalOptions = z.object({ config: z.string().optional(), set: z.array(z.string()) })

export type LoadedConfig = {
  config: Config
  warnings: string[]
  given: ReadonlySet<string>
  files: string[]
  /** The flags that lead to the same configuration, for the commands that we suggest. */
  flags: string[]
}

/** The configuration for a command: file < environment < flags. A ConfigError lists every problem. */
export function settingsOf(command: Command): LoadedConfig {
  const { config: file, set } = globalOptions.parse(command.optsWithGlobals())
  const result = loadConfig({ file, set })
  if (result.problems !== undefined) {
    throw new ConfigError(
      result.problems,
      'every setting with its value: npm run -s gatehouse -- config print',
    )
  }
  const fileFlags = file === undefined ? [] : ['--config', file]
  return { ...result, flags: [...fileFlags, ...set.flatMap((each) => ['--set', each])] }
}

/** The same for a command that connects to a server: it trusts whom the configuration trusts. */
export function connectingSettingsOf(command: Command): LoadedConfig {
  const loaded = settingsOf(command)
  trustCa(loaded.config)
  return loaded
}
