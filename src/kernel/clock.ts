/** The current time in whole milliseconds since the epoch. Every rule that depends on time is handed one. */
export type Clock = () => number

export const systemClock: Clock = () => Date.now()

/** The clock's time as a JWT NumericDate: whole seconds since the epoch (RFC 7519 §2). */
export const epochSeconds = (clock: Clock): number => Math.floor(clock() / 1000)

/** The clock's time in RFC 3339, in UTC. Many lines fall into one second, and share the text of it. */
export function createIsoTime(clock: Clock): () => string {
  let second = Number.NaN
  let beginning = ''
  return () => {
    const nowMs = clock()
    const ms = nowMs % 1000
    if (nowMs - ms !== second) {
      second = nowMs - ms
      beginning = new Date(second).toISOString().slice(0, -4)
    }
    return `${beginning}${String(ms).padStart(3, '0')}Z`
  }
}
