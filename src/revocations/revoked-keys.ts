import type { LiveRevocations, LoggedRevocation } from './live-revocations.ts'

/**
 * Calls `drop` with the kid of every key that somebody else has, those known already included: an entry without
 * `issued_before` voids whatever the key signs. One with it leaves what the key signs from then on good.
 */
export function onRevokedKey(
  live: Pick<LiveRevocations, 'entries' | 'onRevocation'>,
  drop: (kid: string) => void,
): void {
  const dropKeys = (news: readonly LoggedRevocation[]) => {
    for (const { entry } of news) {
      if (entry.kind === 'kid' && entry.issued_before === undefined) drop(entry.value)
    }
  }
  dropKeys(live.entries())
  live.onRevocation(dropKeys)
}
