import { timers } from '../../src/runtime/timers.ts'

const real = { ...timers }

/** Replaces the engine's timers with these, until the returned function is called. */
export function replaceTimers(fakes: object): () => void {
  Object.assign(timers, fakes)
  return () => void Object.assign(timers, real)
}
