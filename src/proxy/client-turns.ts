import { createLinkedList, type Linked, type LinkedList } from './linked-list.ts'

/** Where an entry waits, and what it takes to remove it. */
export interface Place<T> extends Linked<Place<T>> {
  readonly entry: T
  readonly line: Line<T>
  isWaiting: boolean
}

/** The entries of one client, in their order. */
interface Line<T> extends Linked<Line<T>> {
  readonly clientId: string
  readonly places: LinkedList<Place<T>>
  count: number
}

export type ClientTurns<T> = {
  enqueue: (clientId: string, entry: T) => Place<T>
  next: () => Place<T> | undefined
  /** Of an entry that is still waiting. */
  remove: (place: Place<T>) => void
  size: () => number
  sizeOf: (clientId: string) => number
  /** How many would be served before one that came now. Takes as long as there are clients waiting. */
  countAhead: (clientId: string) => number
}

/** The clients of one tenant, which take turns one entry at a time. All but counting takes constant time. */
export function createClientTurns<T>(): ClientTurns<T> {
  const lines = new Map<string, Line<T>>()
  const round = createLinkedList<Line<T>>()
  let size = 0

  function begin(clientId: string): Line<T> {
    const places = createLinkedList<Place<T>>()
    const line: Line<T> = { clientId, places, count: 0, before: undefined, after: undefined }
    lines.set(clientId, line)
    round.append(line)
    return line
  }

  function remove(place: Place<T>): void {
    const { line } = place
    place.isWaiting = false
    line.places.remove(place)
    line.count -= 1
    size -= 1
    if (line.count > 0) return
    round.remove(line)
    lines.delete(line.clientId)
  }

  const sizeOf = (clientId: string): number => lines.get(clientId)?.count ?? 0

  return {
    enqueue(clientId, entry) {
      const line = lines.get(clientId) ?? begin(clientId)
      const place = { entry, line, isWaiting: true, before: undefined, after: undefined }
      line.places.append(place)
      line.count += 1
      size += 1
      return place
    },
    next() {
      const line = round.first()
      const place = line?.places.first()
      if (line === undefined || place === undefined) return undefined
      remove(place)
      if (line.count === 0) return place
      round.remove(line)
      round.append(line)
      return place
    },
    remove,
    size: () => size,
    sizeOf,
    countAhead(asking) {
      const own = sizeOf(asking)
      let ahead = own
      for (const { clientId, count } of lines.values()) {
        if (clientId !== asking) ahead += Math.min(count, own + 1)
      }
      return ahead
    },
  }
}
