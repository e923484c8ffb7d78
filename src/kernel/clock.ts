/** The current time in whole milliseconds since the epoch. Every rule that depends on time is handed one. */
export type Clock = () => number

export const systemClock: Clock = () => Date.now()

/** The clock's time as a JWT NumericDate: whole seconds since the epoch (RFC 7519 §2). */
export const epochSeconds = (clock: Clock): number => Math.floor(clock() / 1000)

/**
 * The clock's time in RFC 3339, in UTC. What falls into one millisecond shares the text of it, which is in one piece: a text that V8
 * keeps as a chain of pieces takes `JSON.stringify` more than twice as long, with the whole object that it is in.
 */
export function createIsoTime(clock: Clock): () => string {
  let lastMs = Number.NaN
  let text = ''
  return () => {
    const nowMs = clock()
    if (nowMs !== lastMs) {
      lastMs = nowMs
      text = new Date(nowMs).toISOString()
    }
    return text
  }
}
