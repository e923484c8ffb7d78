import type { Command } from 'commander'
import { z } from 'zod'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { ConfigError } from '../kernel/errors.ts'

const globalOptions = z.object({ config: z.string().optional(), set: z.array(z.string()) })

export type LoadedConfig = { config: Config; warnings: string[]; given: ReadonlySet<string> }

/** The configuration for a command: file < environment < flags. A ConfigError lists every problem. */
export function settingsOf(command: Command): LoadedConfig {
  const { config: file, set } = globalOptions.parse(command.optsWithGlobals())
  const result = loadConfig({ file, set })
  if (result.problems !== undefined) {
    throw new ConfigError(result.problems, 'every setting: npm run -s gatehouse -- config schema')
  }
  return result
}
