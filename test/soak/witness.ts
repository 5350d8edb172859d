import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { witnessOf } from '../crash/points-victim.ts'
import type { Line } from '../crash/points-witness.ts'

/** Writes what clients saw into the same file as what handlers saw, as it happens: `points-witness.ts` compares everything in the end. */
export class Witness {
  readonly #file: number
  #readTo = 0
  /** The incomplete part of the last line. */
  #rest = ''
  /** When each timed job that has not started was requested, by key. */
  readonly #askedAt = new Map<string, number>()
  acknowledgedCount = 0
  startCount = 0
  refusedCount = 0

  constructor(database: string) {
    this.#file = openSync(witnessOf(database), 'a+')
  }

  /** `isTimed`: whether the time until their start is measured. */
  asked(keys: readonly string[], isTimed: boolean): void {
    const now = Date.now()
    if (isTimed) for (const key of keys) this.#askedAt.set(key, now)
    this.#note({ what: 'asked', jobs: keys.map((idempotencyKey) => ({ idempotencyKey })), run: 0 })
  }

  acknowledged(jobs: readonly (readonly [id: number, key: string])[]): void {
    this.#note({ what: 'acknowledged', jobs, run: 0 })
  }

  commanding(event: 'cancel', id: number): void {
    this.#note({ what: 'commanding', event, id, run: 0 })
  }

  commanded(event: 'cancel', id: number): void {
    this.#note({ what: 'commanded', event, id, run: 0 })
  }

  /** Reads new lines; returns how long each timed job that has started waited, from the moment before its request, in ms. */
  readOn(): number[] {
    const length = fstatSync(this.#file).size - this.#readTo
    const bytes = Buffer.alloc(length)
    this.#readTo += readSync(this.#file, bytes, 0, length, this.#readTo)
    const lines = (this.#rest + bytes.toString('latin1')).split('\n')
    this.#rest = lines.pop() ?? ''
    return lines.flatMap((line) => this.#heed(line))
  }

  close(): void {
    closeSync(this.#file)
  }

  #heed(text: string): number[] {
    const line = parsed(text)
    if (line?.what === 'refused') this.refusedCount++
    if (line?.what === 'acknowledged') this.acknowledgedCount += line.jobs.length
    if (line?.what !== 'start') return []
    this.startCount++
    const askedAt = this.#askedAt.get(line.key)
    this.#askedAt.delete(line.key)
    return askedAt === undefined ? [] : [line.at - askedAt]
  }

  /** Each line begins with a line end, so that one which a death cut short does not spoil another. */
  #note(line: Line): void {
    writeSync(this.#file, `\n${JSON.stringify(line)}`)
  }
}

function parsed(text: string): Line | null {
  try {
    return JSON.parse(text) as Line
  } catch {
    return null
  }
}
