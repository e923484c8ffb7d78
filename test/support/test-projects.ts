import { matchesGlob } from 'node:path'
import { z } from 'zod'
import { projects } from '../../vitest.config.ts'

const projectsSchema = z.array(
  z.object({
    test: z.object({
      name: z.string(),
      include: z.array(z.string()),
      exclude: z.array(z.string()).default([]),
    }),
  }),
)

/** The projects of vitest that run that file, some of them only when all is asked for. */
export function projectsThatRun(path: string): string[] {
  const matches = (globs: readonly string[]) => globs.some((glob) => matchesGlob(path, glob))
  return projectsSchema
    .parse(projects)
    .filter(({ test }) => matches(test.include) && !matches(test.exclude))
    .map(({ test }) => test.name)
}
