/** The settings after an update (RFC 7396): what it does not have stays, what is null in it goes. */
export function mergeSettings(current: object, update: object): Record<string, unknown> {
  const changed = Object.entries(update).filter(([, value]) => value !== undefined)
  return Object.fromEntries(
    Object.entries({ ...current, ...Object.fromEntries(changed) }).filter(
      ([, value]) => value !== null && value !== undefined,
    ),
  )
}
