import { createLinkedList, type Linked, type LinkedList } from './linked-list.ts'

/** What a weight is taken as when it is beyond: a token of another issuer may name any positive number. */
export const MIN_WEIGHT = 2 ** -10
export const MAX_WEIGHT = 2 ** 10

/** Where an entry waits, and what it takes to remove it. */
export interface Place<T> extends Linked<Place<T>> {
  readonly entry: T
  readonly tenant: Tenant<T>
  isWaiting: boolean
}

interface Tenant<T> extends Linked<Tenant<T>> {
  readonly id: string
  readonly places: LinkedList<Place<T>>
  count: number
  band: Band<T>
  weight: number
  /** What a token has asked for since; it counts from the tenant's next turn. */
  nextWeight: number
  /** What is left of its turn, in entries. */
  deficit: number
}

/** Tenants whose weights are between `unit` and twice as much, in the order of their turns. */
type Band<T> = {
  readonly unit: number
  readonly round: LinkedList<Tenant<T>>
  /** Of its tenants together. */
  weight: number
  /** The virtual time at which one of them is due. */
  dueAt: number
}

export type FairQueue<T> = {
  enqueue: (tenantId: string, weight: number, entry: T) => Place<T>
  /** Takes out the one whose turn it is; undefined when nobody waits. */
  next: () => T | undefined
  /** False when it has left already. */
  remove: (place: Place<T>) => boolean
  size: () => number
  sizeOf: (tenantId: string) => number
  /** How many would be served before one that came now. Takes as long as there are tenants waiting. */
  countAhead: (tenantId: string, weight: number) => number
}

/**
 * Serves the tenants that wait in proportion to their weights, each in its own order; to enter, to leave and to be served
 * take constant time. It is deficit round robin (Shreedhar and Varghese, 1995) among weights of about the same size, where a
 * turn is one or two entries. Which of those few bands is next, virtual time tells, so that a heavy tenant is not served in
 * one long burst, and a light one is not visited a thousand times in vain.
 */
export function createFairQueue<T>(): FairQueue<T> {
  const heaviest = createBand<T>(MAX_WEIGHT)
  const bands = [heaviest]
  for (let unit = MAX_WEIGHT / 2; unit >= MIN_WEIGHT; unit /= 2) bands.push(createBand(unit))
  const tenants = new Map<string, Tenant<T>>()
  let virtualTime = 0
  let size = 0

  const bandOf = (weight: number): Band<T> => bands.find(({ unit }) => unit <= weight) ?? heaviest

  function joinRound(tenant: Tenant<T>): void {
    const { band } = tenant
    const isFirst = band.round.first() === undefined
    // A sum that floating-point numbers come and go from is right again whenever nobody is there.
    band.weight = (isFirst ? 0 : band.weight) + tenant.weight
    if (isFirst) band.dueAt = Math.max(band.dueAt, virtualTime)
    // The more weight it has, the sooner it has made up for what it was served last.
    band.dueAt = Math.min(band.dueAt, virtualTime + 1 / band.weight)
    band.round.append(tenant)
  }

  function leaveRound(tenant: Tenant<T>): void {
    tenant.band.round.remove(tenant)
    tenant.band.weight -= tenant.weight
  }

  function enter(id: string, weight: number): Tenant<T> {
    const tenant: Tenant<T> = {
      id,
      places: createLinkedList(),
      count: 0,
      band: bandOf(weight),
      weight,
      nextWeight: weight,
      deficit: 0,
      before: undefined,
      after: undefined,
    }
    tenants.set(id, tenant)
    joinRound(tenant)
    return tenant
  }

  function takeOut(place: Place<T>): void {
    const { tenant } = place
    place.isWaiting = false
    tenant.places.remove(place)
    tenant.count -= 1
    size -= 1
    if (tenant.count > 0) return
    leaveRound(tenant)
    tenants.delete(tenant.id)
  }

  function endTurn(tenant: Tenant<T>): void {
    leaveRound(tenant)
    if (tenant.nextWeight !== tenant.weight) {
      tenant.weight = tenant.nextWeight
      tenant.band = bandOf(tenant.weight)
      tenant.deficit = 0
    }
    joinRound(tenant)
  }

  return {
    enqueue(tenantId, asked, entry) {
      const weight = weightWithin(asked)
      const tenant = tenants.get(tenantId) ?? enter(tenantId, weight)
      tenant.nextWeight = weight
      const place = { entry, tenant, isWaiting: true, before: undefined, after: undefined }
      tenant.places.append(place)
      tenant.count += 1
      size += 1
      return place
    },
    next() {
      const band = dueFirst(bands)
      const tenant = band?.round.first()
      const place = tenant?.places.first()
      if (band === undefined || tenant === undefined || place === undefined) return undefined
      virtualTime = band.dueAt
      band.dueAt += 1 / band.weight
      if (tenant.deficit < 1) tenant.deficit += tenant.weight / band.unit
      tenant.deficit -= 1
      takeOut(place)
      if (tenant.count > 0 && tenant.deficit < 1) endTurn(tenant)
      return place.entry
    },
    remove(place) {
      if (!place.isWaiting) return false
      takeOut(place)
      return true
    },
    size: () => size,
    sizeOf: (tenantId) => tenants.get(tenantId)?.count ?? 0,
    countAhead(tenantId, asked) {
      const turns = ((tenants.get(tenantId)?.count ?? 0) + 1) / weightWithin(asked)
      let ahead = 0
      for (const { id, count, weight } of tenants.values()) {
        ahead += id === tenantId ? count : Math.min(count, Math.floor(turns * weight))
      }
      return ahead
    },
  }
}

const createBand = <T>(unit: number): Band<T> => ({
  unit,
  round: createLinkedList(),
  weight: 0,
  dueAt: 0,
})

const weightWithin = (asked: number): number => Math.min(Math.max(asked, MIN_WEIGHT), MAX_WEIGHT)

function dueFirst<T>(bands: readonly Band<T>[]): Band<T> | undefined {
  let first: Band<T> | undefined
  for (const band of bands) {
    if (band.round.first() === undefined) continue
    if (first === undefined || band.dueAt < first.dueAt) first = band
  }
  return first
}
