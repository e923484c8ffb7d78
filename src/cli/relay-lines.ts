import type { Readable } from 'node:stream'

/** Passes on whole lines, so that those of several processes do not run into each other; waits while they cannot be taken. */
export async function relayLines(
  from: Readable,
  write: (lines: string) => Promise<void> | void,
): Promise<void> {
  let rest = ''
  for await (const chunk of from.setEncoding('utf8')) {
    const text = rest + String(chunk)
    const end = text.lastIndexOf('\n') + 1
    rest = text.slice(end)
    if (end > 0) await write(text.slice(0, end))
  }
  if (rest !== '') await write(`${rest}\n`)
}
