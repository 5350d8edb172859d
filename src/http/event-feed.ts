import type { ServerResponse } from 'node:http'
import { BackpressureError, UnavailableError } from '../errors.ts'
import type { JobSystem, SystemLog, Transition } from '../front-door.ts'
import { type EventFilter, EventPage } from './event-page.ts'
import { EventReader } from './event-reader.ts'

/** Open streams; one more is refused. */
const readersMax = 100
/** Transitions in one read. */
const pageMax = 1_000
/** From one read to the next at least, in ms: with `pageMax` it keeps the reading below 20,000 transitions a second. */
const paceMs = 50
/** The same where there was nothing. */
const restMs = 100
/** The same where the database could not be read, and the longest. */
const troubleMs = 1_000
/** The pause after a turn, in turns: what telling costs stays a small share of the machine, however busy that is and whoever listens. */
const pauseTurns = 19
const heartbeatMsDefault = 15_000
const retryAfterMs = 1_000

export interface EventFeedOptions {
  readonly system: JobSystem
  readonly log: SystemLog
  /** Between two comments on each stream, in ms. */
  readonly heartbeatMs?: number
}

/**
 * Tells transitions to all readers of `/events`. One read at a time, at a bounded rate, whoever listens: all who stand where a page is read
 * are told it, and then stand together. Those behind the foremost have every second turn, one after another. A reader that does not take
 * its bytes falls behind: what it lacks waits in the database, and the server's idle timeout ends one that takes none.
 */
export class EventFeed {
  readonly #system: JobSystem
  readonly #log: SystemLog
  readonly #heartbeatMs: number
  /** In the order of their last turns. */
  readonly #readers = new Set<EventReader>()
  #timer: NodeJS.Timeout | undefined
  #heart: NodeJS.Timeout | undefined
  #reading = false
  #turns = 0
  #closed = false

  constructor({ system, log, heartbeatMs = heartbeatMsDefault }: EventFeedOptions) {
    this.#system = system
    this.#log = log
    this.#heartbeatMs = heartbeatMs
  }

  /**
   * Begins a stream: after the event `after` (one that is not there yet: now), or from now. Throws `BackpressureError` where there are as many
   * as may be, `UnavailableError` where it cannot begin; then nothing has been sent.
   */
  async open(outgoing: ServerResponse, filter: EventFilter, after?: number): Promise<void> {
    if (this.#closed || outgoing.req.socket.destroyed) throw new UnavailableError('the server is stopping')
    if (this.#readers.size >= readersMax) {
      throw new BackpressureError(`${readersMax} readers listen already, as many as may`, retryAfterMs)
    }
    const reader = new EventReader(outgoing, filter)
    this.#readers.add(reader)
    // Not the answer's: one that waits behind another on its connection is not closed with it.
    outgoing.req.once('close', () => this.#drop(reader))
    const { transitions, last } = await this.#system.transitions({
      ...(after === undefined ? {} : { after }),
      limit: 1,
    })
    if (!this.#readers.has(reader)) throw new UnavailableError('the server is stopping')
    reader.begin(transitions.length > 0 ? after! : last)
    this.#heart ??= setInterval(() => this.#beat(), this.#heartbeatMs)
    this.#schedule(paceMs)
  }

  /** Ends all streams and takes no more. */
  close(): void {
    this.#closed = true
    for (const reader of this.#readers) reader.end()
    this.#readers.clear()
    this.#rest()
  }

  #drop(reader: EventReader): void {
    if (!this.#readers.delete(reader)) return
    reader.cut()
    if (this.#readers.size === 0) this.#rest()
  }

  #rest(): void {
    clearTimeout(this.#timer)
    clearInterval(this.#heart)
    this.#timer = undefined
    this.#heart = undefined
  }

  #beat(): void {
    for (const reader of this.#readers) reader.beat()
  }

  #schedule(ms: number): void {
    if (this.#timer || this.#reading || this.#readers.size === 0) return
    this.#timer = setTimeout(() => void this.#turn(), ms)
  }

  async #turn(): Promise<void> {
    this.#timer = undefined
    this.#reading = true
    const beganAt = performance.now()
    const pauseMs = await this.#serve()
    const tookMs = performance.now() - beganAt
    this.#reading = false
    this.#schedule(Math.max(pauseMs, Math.min(tookMs * pauseTurns, troubleMs)))
  }

  /** One read for those whose turn it is; how long to wait before the next. */
  async #serve(): Promise<number> {
    const after = this.#nextPosition()
    if (after === undefined) return restMs
    try {
      const { transitions } = await this.#system.transitions({ after, limit: pageMax })
      this.#hand(after, transitions)
      return transitions.length > 0 ? paceMs : restMs
    } catch (error) {
      if (error instanceof UnavailableError) return troubleMs
      this.#log.error({ err: error }, 'transitions could not be told; ending the streams')
      for (const reader of this.#readers) this.#drop(reader)
      return restMs
    }
  }

  /** Where those stand whose turn it is; undefined where nobody can be told more. */
  #nextPosition(): number | undefined {
    const positions = [...this.#readers].flatMap((reader) => (reader.ready ? [reader.after!] : []))
    if (positions.length === 0) return
    const foremost = positions.reduce((a, b) => Math.max(a, b))
    const isTurnOfForemost = ++this.#turns % 2 === 0
    return isTurnOfForemost ? foremost : (positions.find((position) => position < foremost) ?? foremost)
  }

  /** Tells one page, which follows the event `after`, to all who stand somewhere in it. */
  #hand(after: number, transitions: readonly Transition[]): void {
    const last = transitions.at(-1)?.id ?? after
    const page = new EventPage(transitions)
    for (const reader of [...this.#readers]) {
      if (!reader.ready || reader.after! < after || reader.after! > last) continue
      reader.tell(page.framesFor(reader.filter, reader.after!), last)
      this.#readers.delete(reader)
      this.#readers.add(reader)
    }
  }
}
