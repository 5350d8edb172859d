import type { Outgoing } from '../exchange.ts'
import { headersOf } from '../reply.ts'
import type { Session } from '../session.ts'
import type { EventFilter } from './event-page.ts'

/** Unread bytes above which a reader gets no more until it has read them: what it lacks waits in the database. */
const unsentMax = 1_048_576
/** How long a browser waits before it reconnects, in ms. */
const reconnectMs = 2_000

export const streamHeaders: Readonly<Record<string, string>> = {
  ...headersOf('text/event-stream; charset=utf-8'),
  // Compressing proxies would hold events back.
  'cache-control': 'no-store, no-transform',
  // nginx would hold events back to fill its buffer.
  'x-accel-buffering': 'no',
}

let opened = 0

/** One open stream. */
export class EventReader {
  readonly filter: EventFilter
  readonly session: Session | null
  /** Higher than the numbers of all streams opened before it. */
  readonly number = opened++
  readonly #outgoing: Outgoing
  #after: number | undefined
  #life: NodeJS.Timeout | undefined

  constructor(outgoing: Outgoing, filter: EventFilter, session: Session | null) {
    this.#outgoing = outgoing
    this.filter = filter
    this.session = session
  }

  /** Calls `onEnd` after this many ms, unless the stream has ended by then. */
  endAfter(ms: number, onEnd: () => void): void {
    this.#life = setTimeout(onEnd, ms)
  }

  /** The id up to which it has been sent everything it wants; undefined before it has begun. */
  get after(): number | undefined {
    return this.#after
  }

  /** Whether it accepts more now. */
  get ready(): boolean {
    return this.#after !== undefined && this.#outgoing.writableLength <= unsentMax
  }

  /** Sends the head of the answer. */
  begin(after: number): void {
    this.#after = after
    this.#outgoing.writeHead(200, { ...streamHeaders, connection: 'close' })
    this.#outgoing.write(`: transitions of jobs\nretry: ${reconnectMs}\n${this.#position()}`)
  }

  /** Sends the events it wants up to the id `after`. */
  tell(frames: Buffer, after: number): void {
    this.#after = after
    if (frames.length > 0) this.#outgoing.write(frames)
  }

  /** Sends events that have no place among the others. */
  tellLive(frames: string): void {
    if (frames !== '') this.#outgoing.write(frames)
  }

  /** Sends a comment, unless something is already being sent. */
  beat(): void {
    if (this.#after === undefined || this.#outgoing.writableLength > 0) return
    this.#outgoing.write(`:\n${this.#position()}`)
  }

  /** Ends the stream cleanly, or at once if the client would have to read something first. */
  end(): void {
    clearTimeout(this.#life)
    if (this.#after === undefined) return
    if (this.#outgoing.writableLength > 0) this.cut()
    else this.#outgoing.end()
  }

  cut(): void {
    clearTimeout(this.#life)
    this.#outgoing.destroy()
  }

  /**
   * An id without data is not an event for the client, but a position to resume from, for a client that has had no event yet, or whose
   * events are rare.
   */
  #position(): string {
    return `id: ${this.#after}\n\n`
  }
}
