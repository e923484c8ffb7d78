/** The current time in milliseconds since the epoch. Every rule that depends on time is handed one. */
export type Clock = () => number

export const systemClock: Clock = () => Date.now()

/** The clock's time as a JWT NumericDate: whole seconds since the epoch (RFC 7519 §2). */
export const epochSeconds = (clock: Clock): number => Math.floor(clock() / 1000)
