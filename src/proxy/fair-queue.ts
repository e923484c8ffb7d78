import { createClientTurns, type ClientTurns } from './client-turns.ts'
import { createLinkedList, type Linked, type LinkedList } from './linked-list.ts'

/** What a weight is taken as when it is beyond: a token of another issuer may name any positive number. */
export const MIN_WEIGHT = 2 ** -10
export const MAX_WEIGHT = 2 ** 10

/** Virtual time starts over here: a sum that went on growing would one day lose what is added to it. */
const LATEST_TIME = 2 ** 20

/** Whose entry it is, and the weight of that tenant. */
export type Party = { tenantId: string; clientId: string; weight: number }

interface Tenant<T> extends Linked<Tenant<T>> {
  readonly id: string
  readonly turns: ClientTurns<T>
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
  /** Gives the function that removes the entry again; it answers whether it was still there. */
  enqueue: (party: Party, entry: T) => () => boolean
  /** Takes out the one whose turn it is; undefined when nobody waits. */
  next: () => T | undefined
  size: () => number
  /** How many entries of this client wait. */
  sizeOf: (party: Party) => number
  sizeOfTenant: (party: Party) => number
  /** How many would be served before one that came now. Takes as long as there are tenants waiting. */
  countAhead: (party: Party) => number
}

/**
 * Serves the tenants that wait in proportion to their weights, and the clients of each by turns; to enter, to leave and to be
 * served take constant time. It is deficit round robin (Shreedhar and Varghese, 1995) among weights of about the same size, where a
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
      turns: createClientTurns(),
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

  function startOver(nowAt: number): void {
    for (const band of bands) band.dueAt -= nowAt
  }

  function leaveIfDone(tenant: Tenant<T>): void {
    size -= 1
    if (tenant.turns.size() > 0) return
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
    enqueue({ tenantId, clientId, weight: asked }, entry) {
      const weight = weightWithin(asked)
      const tenant = tenants.get(tenantId) ?? enter(tenantId, weight)
      tenant.nextWeight = weight
      const place = tenant.turns.enqueue(clientId, entry)
      size += 1
      return function leave() {
        if (!place.isWaiting) return false
        tenant.turns.remove(place)
        leaveIfDone(tenant)
        return true
      }
    },
    next() {
      const band = dueFirst(bands)
      const tenant = band?.round.first()
      const place = tenant?.turns.next()
      if (band === undefined || tenant === undefined || place === undefined) return undefined
      if (band.dueAt > LATEST_TIME) startOver(band.dueAt)
      virtualTime = band.dueAt
      band.dueAt += 1 / band.weight
      if (tenant.deficit < 1) tenant.deficit += tenant.weight / band.unit
      tenant.deficit -= 1
      leaveIfDone(tenant)
      if (tenant.turns.size() > 0 && tenant.deficit < 1) endTurn(tenant)
      return place.entry
    },
    size: () => size,
    sizeOf: ({ tenantId, clientId }) => tenants.get(tenantId)?.turns.sizeOf(clientId) ?? 0,
    sizeOfTenant: ({ tenantId }) => tenants.get(tenantId)?.turns.size() ?? 0,
    countAhead({ tenantId, clientId, weight: asked }) {
      const own = tenants.get(tenantId)?.turns.countAhead(clientId) ?? 0
      const turns = (own + 1) / weightWithin(asked)
      let ahead = own
      for (const { id, turns: others, weight } of tenants.values()) {
        if (id !== tenantId) ahead += Math.min(others.size(), Math.floor(turns * weight))
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
