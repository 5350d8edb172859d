import type { Owner } from '../../store.ts'

/** What a node says of itself. */
export interface NodeFacts {
  readonly owner: Owner
  /** It runs jobs; a producer does not. */
  readonly serves: boolean
  /** Job types that have a handler there. */
  readonly types: readonly string[]
  readonly leaseMs: number
  /** How long its thread waits for an answer of the server, in ms. */
  readonly patienceMs: number
}

/** An instant of the server's clock, and of the thread's steady one when it was read, in ms. */
export interface ServerTime {
  readonly wall: number
  readonly steady: number
}

/** What the loop asks its node's thread, and the answers. `beat`: null if the node was declared dead. */
export interface Asks {
  connect(): null
  register(): number
  beat(): ServerTime | null
  noteWaiting(isWaiting: boolean): null
  noteStop(): null
  end(): null
}

export type Operation = keyof Asks

/** Loop to thread. */
export interface Ask {
  readonly id: number
  readonly op: Operation
  readonly isWaiting?: boolean
}

/** Thread to loop: an answer, or an error of the driver; or what it tells by itself: a signal of another node, a heartbeat, or that one failed. */
export type Report =
  | { readonly id: number; readonly answer: ReturnType<Asks[Operation]> }
  | { readonly id: number; readonly error: { readonly message: string; readonly code: string | undefined } }
  | { readonly signal: string }
  | { readonly beat: ServerTime | null }
  | { readonly failed: string }

/** What the thread is made of. */
export interface NodeThreadOptions {
  readonly connectionString: string
  readonly schema: string
  readonly facts: NodeFacts
  /** Between two heartbeats, in ms. */
  readonly pauseMs: number
  /** The cell of a test's clock; null: the server's clock counts. */
  readonly clock: BigInt64Array | null
  /** The memory of the loop's `Heartbeat`; null if it runs no jobs. */
  readonly heartbeat: Int32Array | null
}
