import type { Lease, LogLine, Report, Store } from '../../persistence/store.ts'
import type { ClockTimers } from '../../runtime/clock.ts'
import { HandlerReport, type ReportsShared } from './handler-report.ts'

/** How long what a running handler reports may wait, in ms: each job is written at most once in that time, and at its end. */
const writeMs = 1_000
/** Lines that one call of the store writes, so that other calls get their turns. */
const callLinesMax = 1_000

interface Open extends Lease {
  readonly report: HandlerReport
  /** Its attempt has ended. */
  isOver: boolean
}

/** For one attempt: it may report as often as it likes. */
export interface AttemptReports {
  /** Returns what is wrong with the value; null if it is taken. */
  progress(value: unknown): string | null
  line(line: LogLine): void
  /** Stores at once what waits; resolves when that is done, or has failed. */
  flush(): Promise<void>
  /** Ends it. Returns what waits, for the outcome; undefined if nothing does. */
  end(): Report | undefined
}

/**
 * Stores what running handlers report, all at once, at most once a second. Nothing of it is tried again, and no job waits for it. An attempt
 * that reports nothing is not known here.
 */
export class Reports {
  readonly #store: Pick<Store, 'report'>
  readonly #timers: ClockTimers
  readonly #shared: ReportsShared = { bytes: 0 }
  /** Those that have something to be written. */
  readonly #waiting = new Set<Open>()
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<unknown> | null = null

  constructor(store: Pick<Store, 'report'>, timers: ClockTimers) {
    this.#store = store
    this.#timers = timers
  }

  /** For an attempt that reports something. */
  open({ id, leaseToken }: Lease): AttemptReports {
    const report = new HandlerReport(this.#shared)
    const open = { id, leaseToken, report, isOver: false }
    const changed = () => {
      this.#waiting.add(open)
      this.#soon()
    }
    return {
      progress(value) {
        const fault = report.setProgress(value)
        if (fault === null) changed()
        return fault
      },
      line(line) {
        report.addLine(line)
        changed()
      },
      flush: async () => {
        await this.#writing
        await this.#write([open])
      },
      end: () => {
        open.isOver = true
        this.#waiting.delete(open)
        if (this.#waiting.size === 0) this.#rest()
        return report.take()
      },
    }
  }

  #soon(): void {
    if (this.#timer !== undefined || this.#writing) return
    this.#timer = this.#timers.setTimeout(() => {
      this.#timer = undefined
      void this.#writeAll()
    }, writeMs)
  }

  #rest(): void {
    if (this.#timer !== undefined) this.#timers.clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** One write after the other, so that lines keep their order. */
  async #writeAll(): Promise<void> {
    const writing = this.#write([...this.#waiting])
    this.#writing = writing
    await writing
    this.#writing = null
    if (this.#waiting.size > 0) this.#soon()
  }

  async #write(all: readonly Open[]): Promise<void> {
    const taken = all.flatMap((open) => {
      const report = this.#waiting.delete(open) ? open.report.take() : undefined
      return report ? [{ open, report }] : []
    })
    await Promise.all(
      intoCalls(taken).map((call) => this.#store.report(call.map(toStore)).catch(() => this.#failed(call))),
    )
  }

  #failed(call: readonly Taken[]): void {
    for (const { open, report } of call) {
      if (open.isOver) continue
      open.report.failed(report)
      this.#waiting.add(open)
    }
  }
}

interface Taken {
  readonly open: Open
  readonly report: Report
}

function toStore({ open: { id, leaseToken }, report }: Taken): Lease & { readonly report: Report } {
  return { id, leaseToken, report }
}

/** Each with a bounded number of lines, or with one report. */
function intoCalls(taken: readonly Taken[]): Taken[][] {
  const calls: Taken[][] = []
  let lines = Number.POSITIVE_INFINITY
  for (const each of taken) {
    const size = 1 + each.report.lines.length
    if (lines + size > callLinesMax) {
      calls.push([])
      lines = 0
    }
    calls.at(-1)!.push(each)
    lines += size
  }
  return calls
}
