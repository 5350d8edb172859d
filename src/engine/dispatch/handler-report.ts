import { type LogLine, logMax, type Report } from '../../persistence/store.ts'
import { lineOf } from './log-line.ts'

/** Bytes of one progress as JSON. */
const progressBytesMax = 4_096
/**
 * Lines of one attempt that wait to be stored, and their bytes: as many as a log keeps, less the line that says how many were dropped. Of all
 * attempts of the process together, bytes.
 */
const linesMax = logMax.lines - 1
const bytesMax = logMax.bytes - 1_024
const allBytesMax = 4_194_304

/** What is shared by the reports of all attempts of a process. */
export interface ReportsShared {
  /** Of all lines that wait to be stored. */
  bytes: number
}

/** What one attempt has reported and is not stored yet: the newest lines that fit, and the last progress. */
export class HandlerReport {
  readonly #shared: ReportsShared
  #progress: string | undefined
  #lines: LogLine[] = []
  /** How many of the oldest are dropped already: moving all others for each would cost more. */
  #gone = 0
  #bytes = 0
  /** Lines that are not kept: since the last report, and of the whole attempt. */
  #dropped = 0
  #droppedInAll = 0

  constructor(shared: ReportsShared) {
    this.#shared = shared
  }

  /** Returns what is wrong with the value; null if it is taken. */
  setProgress(value: unknown): string | null {
    let text: string | undefined
    try {
      text = Number.isFinite(value) ? `${value}` : JSON.stringify(value)
    } catch (error) {
      return `it cannot be written as JSON: ${(error as Error).message}`
    }
    if (text === undefined || (typeof value === 'number' && !Number.isFinite(value))) return 'it is not a JSON value'
    const bytes = Buffer.byteLength(text)
    if (bytes > progressBytesMax) return `it has ${bytes} bytes as JSON; the most is ${progressBytesMax}`
    this.#progress = text
    return null
  }

  addLine(line: LogLine): void {
    this.#lines.push(line)
    this.#count(line.bytes)
    while (this.#isFull) this.#dropOldest()
    if (this.#gone < linesMax) return
    this.#lines.splice(0, this.#gone)
    this.#gone = 0
  }

  /** What it has, which it has no longer; undefined if it has nothing. */
  take(): Report | undefined {
    const progress = this.#progress
    const kept = this.#lines.slice(this.#gone)
    this.#progress = undefined
    this.#lines = []
    this.#gone = 0
    this.#count(-this.#bytes)
    const lines = this.#dropped > 0 ? [this.#droppedLine(kept), ...kept] : kept
    this.#dropped = 0
    if (progress === undefined && lines.length === 0) return
    return progress === undefined ? { lines } : { progress, lines }
  }

  /** It could not be stored: its lines are lost, its progress is tried again unless there is another. */
  failed({ progress, lines }: Report): void {
    this.#progress ??= progress
    this.#drop(lines.length)
  }

  get #isFull(): boolean {
    const count = this.#lines.length - this.#gone
    return count > 0 && (count > linesMax || this.#bytes > bytesMax || this.#shared.bytes > allBytesMax)
  }

  #dropOldest(): void {
    this.#count(-this.#lines[this.#gone]!.bytes)
    this.#gone++
    this.#drop(1)
  }

  #drop(lines: number): void {
    this.#dropped += lines
    this.#droppedInAll += lines
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#shared.bytes += bytes
  }

  #droppedLine([next]: readonly LogLine[]): LogLine {
    const text = `${this.#dropped} lines before this one were dropped, and ${this.#droppedInAll} of this attempt so far: at most ${linesMax} lines, or ${Math.floor(bytesMax / 1_024)} KiB, are kept of each second`
    return lineOf(next?.at ?? 0, 'warn', text, null)
  }
}
