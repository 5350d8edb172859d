import { performance } from 'node:perf_hooks'
import { timers } from '../runtime/timers.ts'

/** How long steps run back to back before the event loop turns, in ms. */
const stretchMs = 10

/**
 * Runs the steps of `work` so that others get their turn: it blocks the loop for at most 10 ms and a step. Work without a pause is done at
 * once.
 */
export function inSlices<T>(work: Generator<void, T>): T | Promise<T> {
  const first = work.next()
  return first.done ? first.value : inTurns(work)
}

async function inTurns<T>(work: Generator<void, T>): Promise<T> {
  for (let until = performance.now() + stretchMs; ; ) {
    const step = work.next()
    if (step.done) return step.value
    if (performance.now() < until) continue
    await new Promise<void>((resolve) => timers.setImmediate(resolve))
    until = performance.now() + stretchMs
  }
}
