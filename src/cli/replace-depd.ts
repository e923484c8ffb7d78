import { registerHooks } from 'node:module'

const DEPD = /\/node_modules\/depd\/index\.js$/

/** What depd offers: a function that says what is deprecated, and two that mark what they are given. */
const QUIET_DEPD =
  'module.exports = () => Object.assign(() => {}, { function: (marked) => marked, property() {} })'

/**
 * Koa's http-errors loads depd, whose marks are functions compiled from text: the one thing of what we load that needs
 * `eval`, which Node is started without. In its place comes one that says and compiles nothing.
 */
export function replaceDepd(): void {
  registerHooks({
    load: (url, context, nextLoad) =>
      DEPD.test(url)
        ? { format: 'commonjs', source: QUIET_DEPD, shortCircuit: true }
        : nextLoad(url, context),
  })
}
