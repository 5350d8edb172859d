import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { ManualClock } from '../../../runtime/clock.ts'
import { timers } from '../../../runtime/timers.ts'
import { beatMs, Heartbeat, killBlockedProcess, Watchdog } from '../../watchdog.ts'
import { Addresses } from '../addresses.ts'
import { type Driver, loadDriver } from '../connection.ts'
import type { Ask, Asks, NodeThreadOptions, Operation, Report } from './protocol.ts'
import { NodeRow } from './row.ts'

/** After a heartbeat that failed, in ms, if that is sooner than usual. */
const retryMs = 100
/** How long the server may take to say which jobs run in a process that is to be ended, in ms. */
const lastLookMs = 1_000

type Port = Pick<MessagePort, 'on' | 'postMessage' | 'close'>

/** Keeps a node alive whatever its loop does, and serves the other end of the port until it is told to end. `driver`: see `openPostgresStore`. */
export function runNode(port: Port, options: NodeThreadOptions, driver: Driver): void {
  new NodeThread(port, options, driver)
}

/** Beats for its node, and watches whether the loop beats. */
class NodeThread {
  readonly #port: Port
  readonly #row: NodeRow
  readonly #pauseMs: number
  readonly #heartbeat: Heartbeat | null
  #beating: NodeJS.Timeout | undefined
  #watching: NodeJS.Timeout | undefined
  #isRegistered = false
  #ended = false

  constructor(port: Port, options: NodeThreadOptions, driver: Driver) {
    const { connectionString, schema, facts, pauseMs, clock, heartbeat } = options
    const given = clock && new ManualClock(0, clock)
    this.#port = port
    this.#pauseMs = pauseMs
    this.#heartbeat = heartbeat && new Heartbeat(heartbeat)
    this.#row = new NodeRow(
      { driver, addresses: new Addresses(connectionString), schema },
      facts,
      () => given?.now() ?? null,
      {
        onSignal: (signal) => this.#tell({ signal }),
        // At once, and not with the next heartbeat: it is deaf meanwhile.
        onLost: () => this.#beatIn(0),
      },
    )
    port.on('message', (ask: Ask) => void this.#answer(ask))
    this.#watch()
  }

  async #answer({ id, op, isWaiting = false }: Ask): Promise<void> {
    try {
      const answer = await this.#does[op](isWaiting)
      this.#tell({ id, answer })
      if (op === 'end') this.#port.close()
    } catch (error) {
      const { message, code } = error as Error & { code?: string }
      this.#tell({ id, error: { message, code } })
    }
  }

  readonly #does: { readonly [Op in Operation]: (isWaiting: boolean) => Promise<ReturnType<Asks[Op]>> } = {
    connect: async () => {
      await this.#row.connect()
      return null
    },
    register: async () => {
      const id = await this.#row.register()
      this.#isRegistered = true
      this.#beatIn(this.#pauseMs)
      return id
    },
    beat: () => this.#row.beat(),
    noteWaiting: (isWaiting) => this.#row.noteWaiting(isWaiting),
    noteStop: () => this.#row.noteStop(),
    end: async () => {
      this.#ended = true
      timers.clearTimeout(this.#beating)
      timers.clearInterval(this.#watching)
      await this.#row.end()
      return null
    },
  }

  /** Once it was declared dead, it waits for its loop to register it again. */
  #beatIn(ms: number): void {
    timers.clearTimeout(this.#beating)
    if (this.#ended || !this.#isRegistered) return
    this.#beating = timers.setTimeout(async () => {
      try {
        const beat = await this.#row.beat()
        this.#tell({ beat })
        this.#beatIn(this.#pauseMs)
      } catch (error) {
        this.#tell({ failed: (error as Error).message })
        this.#beatIn(Math.min(this.#pauseMs, retryMs))
      }
    }, ms)
    this.#beating.unref()
  }

  #watch(): void {
    const heartbeat = this.#heartbeat
    if (!heartbeat || this.#ended) return
    const watchdog = new Watchdog(heartbeat)
    this.#watching = timers.setInterval(() => {
      const stillMs = watchdog.look(performance.now())
      if (stillMs === null) return
      timers.clearInterval(this.#watching)
      void this.#endBlocked(stillMs, watchdog.beats)
    }, beatMs)
    this.#watching.unref()
  }

  /** Only the database knows what runs here; it may be away, and the loop may beat again meanwhile. */
  async #endBlocked(stillMs: number, beats: number): Promise<void> {
    const late = new Promise<number[]>((resolve) => timers.setTimeout(() => resolve([]), lastLookMs))
    const ids = await Promise.race([this.#row.runningIds().catch(() => []), late])
    if (this.#heartbeat?.beats === beats && !this.#ended) killBlockedProcess(stillMs, ids)
    this.#watch()
  }

  #tell(report: Report): void {
    this.#port.postMessage(report)
  }
}

if (parentPort) runNode(parentPort, workerData as NodeThreadOptions, loadDriver())
