import { spawnSync } from 'node:child_process'

/** Whether there is a `redis-server` to start. Tests that need one are skipped otherwise. */
export const hasRedisServer = spawnSync('redis-server', ['--version']).status === 0

/** Says once for the whole run that Redis is missing, or refuses to run where it must be there (CI). */
export function setup(): void {
  if (hasRedisServer) return
  if (process.env['REQUIRE_REDIS'] === '1') {
    throw new Error('REQUIRE_REDIS=1, but there is no redis-server on the PATH')
  }
  console.warn('\n!!! NO redis-server ON THE PATH: EVERY TEST AGAINST REDIS IS SKIPPED !!!\n')
}
