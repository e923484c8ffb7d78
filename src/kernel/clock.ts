/** The current time in milliseconds since the epoch. Every rule that depends on time is handed one. */
export type Clock = () => number

export const systemClock: Clock = () => Date.now()

/** The clock's time as a JWT NumericDate: whole seconds since the epoch (RFC 7519 §2). */
export const epochSeconds = (clock: Clock): number => Math.floor(clock() / 1000)

/** The clock's time in RFC 3339, in UTC. Many lines fall into one millisecond, and they share its text. */
export function createIsoTime(clock: Clock): () => string {
  let ms = Number.NaN
  let text = ''
  return () => {
    const nowMs = clock()
    if (nowMs !== ms) {
      ms = nowMs
      text = new Date(nowMs).toISOString()
    }
    return text
  }
}
