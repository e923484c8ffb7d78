import { createAdmission, type Admission, type Applicant } from '../../src/proxy/admission.ts'
import { AppError } from '../../src/kernel/errors.ts'
import { Ending } from '../../src/proxy/ending.ts'
import { createUpstream, type Slot } from '../../src/proxy/upstream.ts'
import type { AccessToken } from '../../src/tokens/access-token.ts'

export type SimulatedModel = {
  admission: Admission
  /** In milliseconds. */
  now: () => number
  /** Runs what is due until then, each at its time. */
  runUntil: (ms: number) => Promise<void>
  at: (ms: number, task: () => void) => void
  /** A call with that token that keeps its slot for so long; `onServed` follows. */
  call: (token: AccessToken, serviceMs: number, onServed?: () => void) => SimulatedCall
  /** Takes the model server away, or gives it back. */
  setUsable: (isUsable: boolean) => void
  inUse: () => number
  observedWaits: number[]
}

export type SimulatedCall = Applicant & {
  /** Once it is known: `admitted`, `served`, or why it was refused. */
  outcome: unknown
}

/** Admission to a model server with so many slots, in simulated time. */
export function simulateModel(options: {
  slots: number
  maxWaiting?: number
  maxWaitSeconds?: number
}): SimulatedModel {
  const { slots, maxWaiting = 1024, maxWaitSeconds = 30 } = options
  const agenda = createAgenda()
  const upstream = createUpstream(
    { url: 'http://127.0.0.1:1' },
    { connectTimeoutSeconds: 1, now: agenda.now },
  )
  const observedWaits: number[] = []
  let isUsable = true
  let onRoom = (): void => undefined
  const admission = createAdmission({
    upstreams: {
      take() {
        if (!isUsable) throw new AppError('temporarily_unavailable', '', { reason: 'no_upstream' })
        if (upstream.inFlight === slots) return undefined
        upstream.inFlight += 1
        return { upstream, isPublic: false }
      },
      release() {
        upstream.inFlight -= 1
        onRoom()
      },
      onRoom: (listener) => void (onRoom = listener),
      capacity: () => (isUsable ? slots : 0),
    },
    maxWaiting,
    maxWaitSeconds,
    clockSkewSeconds: 0,
    clock: agenda.now,
    monotonicMs: agenda.now,
    schedule: (task, ms) => agenda.at(agenda.now() + ms, task),
    observeWait: (seconds) => observedWaits.push(seconds),
  })

  return {
    admission,
    now: agenda.now,
    runUntil: agenda.runUntil,
    at: (ms, task) => void agenda.at(ms, task),
    setUsable(next) {
      isUsable = next
      onRoom()
    },
    inUse: () => upstream.inFlight,
    observedWaits,
    call(token, serviceMs, onServed) {
      const call: SimulatedCall = { ending: new Ending(), queuedMs: 0, outcome: undefined }
      const serve = (taken: Slot) => {
        call.outcome = 'admitted'
        agenda.at(agenda.now() + serviceMs, () => {
          call.outcome = 'served'
          admission.release(taken, serviceMs)
          onServed?.()
        })
      }
      const refuse = (error: unknown) => void (call.outcome = error)
      try {
        const admitted = admission.admit(token, call)
        if (admitted instanceof Promise) admitted.then(serve, refuse)
        else serve(admitted)
      } catch (error) {
        refuse(error)
      }
      return call
    },
  }
}

/** What is to be done, and when: a heap by time, in the order of entry at the same time. */
function createAgenda() {
  type Item = { atMs: number; order: number; task: (() => void) | undefined }
  const heap: Item[] = []
  let nowMs = 0
  let order = 0
  const isBefore = (a: Item, b: Item) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

  function swapUp(from: number): void {
    for (let i = from; i > 0;) {
      const parent = (i - 1) >> 1
      const [child, above] = [heap[i], heap[parent]]
      if (child === undefined || above === undefined || !isBefore(child, above)) return
      ;[heap[i], heap[parent]] = [above, child]
      i = parent
    }
  }

  function swapDown(): void {
    for (let i = 0; ;) {
      const [left, right] = [heap[2 * i + 1], heap[2 * i + 2]]
      if (left === undefined) return
      const isLeft = right === undefined || isBefore(left, right)
      const least = isLeft ? left : right
      const own = heap[i]
      if (own === undefined || !isBefore(least, own)) return
      const at = isLeft ? 2 * i + 1 : 2 * i + 2
      ;[heap[i], heap[at]] = [least, own]
      i = at
    }
  }

  function pop(): void {
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    heap[0] = last
    swapDown()
  }

  return {
    now: () => nowMs,
    at(atMs: number, task: () => void): () => void {
      const item: Item = { atMs, order: order++, task }
      heap.push(item)
      swapUp(heap.length - 1)
      return () => void (item.task = undefined)
    },
    async runUntil(ms: number): Promise<void> {
      for (let item = heap[0]; item !== undefined && item.atMs <= ms; item = heap[0]) {
        pop()
        if (item.task === undefined) continue
        nowMs = item.atMs
        item.task()
        // Lets what waits for promises go on.
        await Promise.resolve()
        await Promise.resolve()
      }
      nowMs = ms
    },
  }
}
