import type { AnyHandler, JobContext } from '../handlers/define.ts'

/** What happens to an attempt. The effect is what its handler does. */
export type Step =
  | 'succeed'
  | 'fail before effect'
  | 'fail after effect'
  | 'time out after effect'
  | 'crash before effect'
  | 'crash after effect, before commit'
  | 'cancel after effect'
  | 'enqueue again'

/** The parts of a step that a handler cannot do itself. */
interface Outside {
  /** The process ends while the attempt runs. */
  crash(): void
  cancel(jobId: number): Promise<unknown>
  /** Enqueues the same job once more, with its idempotency key. */
  enqueueAgain(): Promise<unknown>
  /** The attempt waits for its timeout. */
  hangs(jobId: number): void
}

/**
 * Holds attempts back until the test waits for them, and interrupts them: each attempt takes the next step, and runs undisturbed if there
 * is none.
 */
export class Interruptions {
  readonly #outside: Outside
  #isOpen = false
  #heldBack: (() => void)[] = []
  #steps: Step[] = []
  /** Called when a step is taken. */
  #onTaken: ((step: Step) => void) | undefined

  constructor(outside: Outside) {
    this.#outside = outside
  }

  /** Applies to attempts from now on. */
  plan(steps: readonly Step[], onTaken?: (step: Step) => void): void {
    this.#steps = [...steps]
    this.#onTaken = onTaken
  }

  /** Lets attempts begin. */
  open(): void {
    this.#isOpen = true
    for (const begin of this.#heldBack.splice(0)) begin()
  }

  close(): void {
    this.#isOpen = false
  }

  /** Attempts of a process that has ended never begin. */
  forget(): void {
    this.#heldBack = []
  }

  /** The same handler, with attempts that take the steps. */
  around(handler: AnyHandler): AnyHandler {
    const { type, payload, timeoutMs, maxRetries } = handler
    return {
      type,
      payload,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(maxRetries === undefined ? {} : { maxRetries }),
      ...(handler.backoffMs ? { backoffMs: (attempt, random) => handler.backoffMs?.(attempt, random) as number } : {}),
      run: async (parsed, context) => {
        await this.#mayBegin(context.signal)
        const step = await this.#next()
        if (step === 'crash before effect') return this.#crash()
        if (step === 'fail before effect') throw new Error('interrupted by the test, before the effect')
        const returned = await handler.run(parsed, context)
        await this.#after(step, context)
        return returned
      },
    }
  }

  #mayBegin(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isOpen) return resolve()
      this.#heldBack.push(resolve)
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  }

  async #next(): Promise<Step | undefined> {
    for (;;) {
      const step = this.#steps.shift()
      if (step) this.#onTaken?.(step)
      if (step !== 'enqueue again') return step
      await this.#outside.enqueueAgain()
    }
  }

  async #after(step: Step | undefined, { jobId, signal }: JobContext): Promise<void> {
    switch (step) {
      case 'fail after effect':
        throw new Error('interrupted by the test, after the effect')
      case 'time out after effect':
        this.#outside.hangs(jobId)
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        throw signal.reason
      case 'crash after effect, before commit':
        return this.#crash()
      case 'cancel after effect':
        await this.#outside.cancel(jobId)
    }
  }

  /** The attempt never ends: its process is gone. */
  #crash(): Promise<never> {
    this.#outside.crash()
    return new Promise(() => {})
  }
}
