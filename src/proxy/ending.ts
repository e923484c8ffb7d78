/**
 * What ends a call before its answer is whole, from outside: its reason is an AppError, or ClientGone. An AbortSignal would
 * do, but takes 1.5 kB for each request.
 */
export class Ending {
  #reason: Error | undefined
  readonly #listeners: ((reason: Error) => void)[] = []

  /** Why, once that is so. */
  get reason(): Error | undefined {
    return this.#reason
  }

  /** Once more does nothing. */
  end(reason: Error): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    for (const listener of this.#listeners.splice(0)) listener(reason)
  }

  throwIfEnded(): void {
    if (this.#reason !== undefined) throw this.#reason
  }

  /** To be called once, unless it has been taken off by then. */
  on(listener: (reason: Error) => void): void {
    this.#listeners.push(listener)
  }

  off(listener: (reason: Error) => void): void {
    const at = this.#listeners.indexOf(listener)
    if (at !== -1) this.#listeners.splice(at, 1)
  }
}
