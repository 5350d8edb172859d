import { vi } from 'vitest'
import { replaceTimers } from './engine-timers.ts'

const names = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'] as const

let restore = () => {}

/** The fake timers of vitest, for the engine as well: all and the date, or the named ones; `withClock` also fakes `performance.now`. */
export function useFakeTimers(toFake?: (typeof names)[number][], { withClock = false } = {}): void {
  vi.useFakeTimers(toFake ? { toFake: withClock ? [...toFake, 'performance'] : toFake } : undefined)
  restore = replaceTimers(Object.fromEntries((toFake ?? names).map((name) => [name, globalThis[name]])))
}

export function useRealTimers(): void {
  restore()
  vi.useRealTimers()
}
