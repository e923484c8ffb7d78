import { matchesGlob } from 'node:path'
import { z } from 'zod'
import config from '../../vitest.config.ts'

const configSchema = z.object({
  test: z.object({
    projects: z.array(
      z.object({
        test: z.object({
          name: z.string(),
          include: z.array(z.string()),
          exclude: z.array(z.string()).default([]),
        }),
      }),
    ),
  }),
})

/** The projects of vitest that run that file. */
export function projectsThatRun(path: string): string[] {
  const matches = (globs: readonly string[]) => globs.some((glob) => matchesGlob(path, glob))
  return configSchema
    .parse(config)
    .test.projects.filter(({ test }) => matches(test.include) && !matches(test.exclude))
    .map(({ test }) => test.name)
}
