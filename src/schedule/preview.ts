import type { Timing } from './ticks.ts'

/** A tick to show: `2026-03-29T01:00:00Z`, and `Sun 2026-03-29 03:00:00 +02:00` in its zone. */
interface ShownTick {
  readonly tick: number
  readonly utc: string
  readonly local: string
}

/** The next `count` ticks, at most 100, after an instant. */
export function previewTicks(_timing: Timing, _since: number, _after: number, _count: number): ShownTick[] {
  throw new Error('not yet')
}

/** A tick as the clocks of a zone show it, with its offset from UTC: `Sun 2026-03-29 03:00:00 +02:00`. */
export function formatTick(_tick: number, _zone: string): string {
  throw new Error('not yet')
}

/** What is allowed in a timing but may surprise, in sentences; looks a year ahead from `now`. */
export function timingWarnings(_timing: Timing, _now: number): string[] {
  throw new Error('not yet')
}
