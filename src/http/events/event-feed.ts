import type { JobSystem, SystemLog, Transition } from '../../engine/front-door.ts'
import { UnavailableError } from '../../errors.ts'
import type { Outgoing } from '../exchange.ts'
import type { Session } from '../session.ts'
import { type EventFilter, EventPage } from './event-page.ts'
import { EventReader } from './event-reader.ts'
import { ProgressTail, progressFrames } from './progress-tail.ts'

/** Open streams; for one more the oldest ends. */
const readersMax = 100
/** How long a stream lives, in ms, and the share by which that varies, so that clients that came together do not come back together. */
const lifeMsDefault = 600_000
const lifeJitter = 0.2
/** Transitions in one read. */
const pageMax = 1_000
/** The least time between two reads, in ms: with `pageMax` it keeps the rate below 20,000 transitions a second. */
const paceMs = 50
/** The same if the last read found nothing. */
const restMs = 100
/** The same if the database could not be read, and the longest pause. */
const troubleMs = 1_000
/**
 * The pause after a turn, as a multiple of the turn: sending events stays a small share of the load, however busy the machine is and
 * however many clients listen.
 */
const pauseTurns = 19
/** The least time between two looks for progress, in ms: each job reports it once a second at most. */
const progressMs = 500
const heartbeatMsDefault = 15_000

export interface EventFeedOptions {
  readonly system: JobSystem
  readonly log: SystemLog
  /** Epoch ms. */
  readonly now: () => number
  /** Uniform in [0, 1), for the jitter. */
  readonly random: () => number
  /** Ms between two comments on each stream. */
  readonly heartbeatMs?: number
  /** How long a stream lives, in ms, give or take a fifth. */
  readonly streamLifeMs?: number
}

/**
 * Sends transitions to all readers of `/events`, with one read at a time and at a bounded rate, however many listen. All readers at the
 * position of a page get it together and then are at the same position. Readers behind the foremost get every second turn, one after
 * another. A reader that does not read its bytes falls behind: what it lacks stays in the database, and the server's idle timeout ends it
 * if it reads none.
 *
 * A stream ends after some minutes, with the session that opened it, or as the oldest if there are too many: a proxy may keep one open for
 * a client that has long gone. Its client reconnects with the id of the last event it got, and misses none.
 */
export class EventFeed {
  readonly #system: JobSystem
  readonly #log: SystemLog
  readonly #now: () => number
  readonly #random: () => number
  readonly #heartbeatMs: number
  readonly #lifeMs: number
  /** In the order of their last turns. */
  readonly #readers = new Set<EventReader>()
  #timer: NodeJS.Timeout | undefined
  #heart: NodeJS.Timeout | undefined
  #reading = false
  #turns = 0
  readonly #progress: ProgressTail
  /** Monotonic ms. */
  #progressAt = 0
  #closed = false

  constructor(options: EventFeedOptions) {
    this.#system = options.system
    this.#progress = new ProgressTail(options.system)
    this.#log = options.log
    this.#now = options.now
    this.#random = options.random
    this.#heartbeatMs = options.heartbeatMs ?? heartbeatMsDefault
    this.#lifeMs = options.streamLifeMs ?? lifeMsDefault
  }

  /**
   * Begins a stream: after the event `after`, or from now if that does not exist yet or is not given. `session`: that of the client, null
   * if it sent the token or none is needed. Throws `UnavailableError` if the stream cannot begin; then nothing has been sent.
   */
  async open(outgoing: Outgoing, filter: EventFilter, session: Session | null, after?: number): Promise<void> {
    if (this.#closed || outgoing.req.socket.destroyed) throw new UnavailableError('the server is stopping')
    if (this.#readers.size >= readersMax) this.#end(this.#oldest())
    const reader = new EventReader(outgoing, filter, session)
    this.#readers.add(reader)
    // Not the answer's `close`: an answer that waits behind another on its connection is not closed with it.
    outgoing.req.once('close', () => this.#drop(reader))
    const { transitions, last } = await this.#system.transitions({
      ...(after === undefined ? {} : { after }),
      limit: 1,
    })
    if (!this.#readers.has(reader)) throw new UnavailableError('the stream was ended before it began')
    reader.begin(transitions.length > 0 ? after! : last)
    reader.endAfter(this.#lifeFor(session), () => this.#end(reader))
    this.#heart ??= setInterval(() => this.#beat(), this.#heartbeatMs)
    this.#schedule(paceMs)
  }

  /** Ends all streams and accepts no more. */
  close(): void {
    this.#closed = true
    for (const reader of this.#readers) reader.end()
    this.#readers.clear()
    this.#rest()
  }

  /** Ends the streams of a session whose user has logged out. */
  endSession({ seal }: Session): void {
    for (const reader of this.#readers) if (reader.session?.seal === seal) this.#end(reader)
  }

  #lifeFor(session: Session | null): number {
    const lifeMs = this.#lifeMs * (1 + lifeJitter * (2 * this.#random() - 1))
    return session ? Math.min(lifeMs, session.endsAt - this.#now()) : lifeMs
  }

  #oldest(): EventReader {
    return [...this.#readers].reduce((a, b) => (b.number < a.number ? b : a))
  }

  #drop(reader: EventReader): void {
    if (this.#readers.has(reader)) reader.cut()
    this.#forget(reader)
  }

  #end(reader: EventReader): void {
    reader.end()
    this.#forget(reader)
  }

  #forget(reader: EventReader): void {
    if (!this.#readers.delete(reader)) return
    if (this.#readers.size === 0) this.#rest()
  }

  #rest(): void {
    clearTimeout(this.#timer)
    clearInterval(this.#heart)
    this.#timer = undefined
    this.#heart = undefined
    this.#progress.forget()
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

  /** Reads once for the readers whose turn it is; returns how long to wait before the next read. */
  async #serve(): Promise<number> {
    const after = this.#nextPosition()
    if (after === undefined) return restMs
    try {
      const { transitions } = await this.#system.transitions({ after, limit: pageMax })
      this.#hand(after, transitions)
      await this.#serveProgress()
      return transitions.length > 0 ? paceMs : restMs
    } catch (error) {
      if (error instanceof UnavailableError) return troubleMs
      this.#log.error({ err: error }, 'transitions could not be sent; ending the streams')
      for (const reader of this.#readers) this.#drop(reader)
      return restMs
    }
  }

  /** Not before the transitions of the time, and only to those that read what they get. */
  async #serveProgress(): Promise<void> {
    if (performance.now() < this.#progressAt) return
    const progress = await this.#progress.next(this.#now())
    this.#progressAt = performance.now() + progressMs
    if (progress.length === 0) return
    for (const reader of this.#readers) if (reader.ready) reader.tellLive(progressFrames(progress, reader.filter))
  }

  /** The position of the readers whose turn it is; undefined if nobody can accept more. */
  #nextPosition(): number | undefined {
    const positions = [...this.#readers].flatMap((reader) => (reader.ready ? [reader.after!] : []))
    if (positions.length === 0) return
    const foremost = positions.reduce((a, b) => Math.max(a, b))
    const isTurnOfForemost = ++this.#turns % 2 === 0
    return isTurnOfForemost ? foremost : (positions.find((position) => position < foremost) ?? foremost)
  }

  /** Gives one page, which follows the event `after`, to all readers whose position is in it. */
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
