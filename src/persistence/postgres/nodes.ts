import { Worker } from 'node:worker_threads'
import { causeOf } from '../../machines/events.ts'
import { ownThread } from '../../runtime/own-thread.ts'
import { timers } from '../../runtime/timers.ts'
import type { Owner } from '../job-facts.ts'
import type { Ask, Asks, NodeThreadOptions, Operation, Report, ServerTime } from './node/protocol.ts'

/** How long a close waits for the node's thread, in ms: the server may be away. */
const endMaxMs = 2_000
/** For the thread's short-lived objects: it has few. */
const youngGenerationMaxMb = 2

/** The parts of `Worker` that the loop uses. */
export type NodeThreadLink = Pick<Worker, 'on' | 'postMessage' | 'ref' | 'unref' | 'terminate'>

/**
 * Starts the thread of a node. `environment`: where the driver finds what an address leaves out, such as PGPASSWORD. One object, which tests
 * replace to run it on the loop's thread.
 */
export const nodeThreads = {
  start(
    workerData: NodeThreadOptions,
    { NODE_OPTIONS: _, ...environment }: Readonly<NodeJS.ProcessEnv>,
  ): NodeThreadLink {
    const resourceLimits = { maxYoungGenerationSizeMb: youngGenerationMaxMb }
    const env = ownThread.env && environment
    return new Worker(new URL('./node/thread.js', import.meta.url), { workerData, resourceLimits, ...ownThread, env })
  },
}

interface Listener {
  /** What other nodes have to say. */
  onSignal(signal: string): void
  /** The thread has shown that this node lives; null: it was declared dead. */
  onBeat(time: ServerTime | null): void
  onFailed(message: string): void
  /** The thread has ended by itself. */
  onFatal(error: Error): void
}

interface Waiting {
  resolve(answer: never): void
  reject(error: Error): void
}

/**
 * This process, as others know it: a row that a thread renews, on a connection of its own, whatever the loop does. Its jobs are its own as
 * long as the thread can.
 */
export class OwnNode {
  readonly #thread: NodeThreadLink
  readonly #owner: Owner
  readonly #given: () => number | null
  readonly #exited: Promise<void>
  readonly #waiting = new Map<number, Waiting>()
  #lastAsk = 0
  /** Why nothing can be asked any more. */
  #failure: Error | null = null
  id = 0
  /** The cause of its claims, as the histories of jobs keep it: JSON text. */
  claimCause = ''
  /** Set before it registers. */
  listener: Listener | null = null

  /** `given`: the instant that a test's clock shows; null: the server's clock counts. */
  constructor(thread: NodeThreadLink, owner: Owner, given: () => number | null) {
    this.#thread = thread
    this.#owner = owner
    this.#given = given
    thread.on('message', (report: Report) => this.#hear(report))
    thread.on('error', (error) => this.#fail(error))
    this.#exited = new Promise((resolve) => {
      thread.on('exit', () => {
        this.#fail(new Error('the thread of the heartbeat ended unexpectedly'))
        resolve()
      })
    })
    thread.unref()
  }

  /** For statements: the instant that a test's clock shows, or null. */
  now(): number | null {
    return this.#given()
  }

  /** Resolves when its thread is connected and hears of signals. */
  connect(): Promise<null> {
    return this.#ask('connect')
  }

  /** Writes a new row: an id is never used again. */
  async register(): Promise<void> {
    this.id = await this.#ask('register')
    const { host, pid } = this.#owner
    this.claimCause = JSON.stringify({ ...causeOf('lease'), node: { id: this.id, host, pid } })
  }

  /** The server's time; null if this node was declared dead. */
  beat(): Promise<ServerTime | null> {
    return this.#ask('beat')
  }

  /** Whether it has free workers and found no job for them. */
  noteWaiting(isWaiting: boolean): Promise<null> {
    return this.#ask('noteWaiting', isWaiting)
  }

  /** If it ends now, that is no crash. */
  noteStop(): Promise<null> {
    return this.#ask('noteStop')
  }

  /** The last thing that it does: others take what it still holds, and its counts go to those of all that are gone. */
  async end(): Promise<void> {
    const ended = this.#ask('end').catch(() => {})
    this.#failure ??= new Error('the node has ended')
    let late: NodeJS.Timeout | undefined
    const isLate = new Promise<void>((resolve) => {
      late = timers.setTimeout(resolve, endMaxMs)
    })
    await Promise.race([ended, isLate])
    timers.clearTimeout(late)
    await this.#thread.terminate()
    await this.#exited
  }

  #ask<Op extends Operation>(op: Op, isWaiting?: boolean): Promise<ReturnType<Asks[Op]>> {
    if (this.#failure) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      const id = ++this.#lastAsk
      this.#waiting.set(id, { resolve, reject })
      // A process that waits for an answer does not end before it.
      this.#thread.ref()
      this.#thread.postMessage({ id, op, ...(isWaiting === undefined ? {} : { isWaiting }) } satisfies Ask)
    })
  }

  #hear(report: Report): void {
    if ('id' in report) this.#settle(report)
    else if ('signal' in report) this.listener?.onSignal(report.signal)
    else if ('beat' in report) this.listener?.onBeat(report.beat)
    else this.listener?.onFailed(report.failed)
  }

  #settle(report: Extract<Report, { id: number }>): void {
    const waiting = this.#waiting.get(report.id)
    this.#waiting.delete(report.id)
    if (this.#waiting.size === 0) this.#thread.unref()
    if ('answer' in report) waiting?.resolve(report.answer as never)
    else waiting?.reject(Object.assign(new Error(report.error.message), { code: report.error.code }))
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
    if (this.#failure) return
    this.#failure = error
    this.listener?.onFatal(error)
  }
}
