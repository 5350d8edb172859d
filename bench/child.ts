import { type ChildProcess, fork } from 'node:child_process'
import { on, once } from 'node:events'
import { join } from 'node:path'

/** A separate process, which reports its findings with `process.send`. */
export class Child {
  /** Resolves when it has ended. */
  readonly ended: Promise<unknown>
  readonly #script: string
  readonly #process: ChildProcess
  readonly #messages: AsyncIterator<unknown[]>

  /** `script`: one of this folder, as built. */
  constructor(script: string, ...args: readonly string[]) {
    this.#script = script
    this.#process = fork(join(import.meta.dirname, script), args)
    this.ended = once(this.#process, 'exit')
    // Not `exit`, which may come before the last message.
    this.#messages = on(this.#process, 'message', { close: ['disconnect'] })
  }

  /** Its next message; rejects if it ends without one. */
  async next<Message>(): Promise<Message> {
    const { value, done } = await this.#messages.next()
    if (done) throw new Error(`${this.#script} ended before it told what it was to tell`)
    return value[0] as Message
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  /** Every message that was not read yet, until it ends. */
  async *messages<Message>(): AsyncGenerator<Message> {
    for (;;) {
      const { value, done } = await this.#messages.next()
      if (done) return
      yield value[0] as Message
    }
  }

  /** Ends it with SIGKILL; resolves when it has ended. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.ended
  }
}

/** Epoch ms with a fraction, the same in every process: for spans that begin in one process and end in another. */
export function sharedNow(): number {
  return performance.timeOrigin + performance.now()
}
