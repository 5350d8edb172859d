import { timers } from '../../src/runtime/timers.ts'

const real = { ...timers }

/** Puts these in the place of the engine's timers, until the function that this gives is called. */
export function replaceTimers(fakes: object): () => void {
  Object.assign(timers, fakes)
  return () => void Object.assign(timers, real)
}
