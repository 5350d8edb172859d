// A load for `victim.mjs`: calls of every kind without end, from a seed. Which of them overlap depends on the machine.
import { setTimeout } from 'node:timers/promises'

/** The most jobs that one run stores: they must all finish in the end. */
const jobsMax = 250
/** The ids that commands are sent to: jobs stored this recently may be in any state. */
const recentMax = 30
/** Between one call and the next, in ms. */
const pauseMaxMs = 12

/** Uniform in [0, 1): mulberry32. */
function randomFrom(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Stores, cancels and requeues, several calls at a time, until the process ends. */
export async function makeLoad(tools, seed) {
  const random = randomFrom(seed)
  const below = (bound) => Math.floor(random() * bound)
  const oneOf = (list) => list[below(list.length)]
  const kinds = [
    () => ({ type: 'quick' }),
    () => ({ type: 'quick', priority: below(9), queue: oneOf(['a', 'b', 'c']) }),
    () => ({ type: 'quick', delayMs: below(300) }),
    () => ({ type: 'long', payload: { ms: below(60) } }),
    () => ({ type: 'flaky' }),
    () => ({ type: 'hopeless', maxRetries: below(3) }),
    () => ({ type: 'unmendable' }),
    () => ({ type: 'snoozing' }),
    () => ({ type: random() < 0.2 ? 'hold' : 'quick' }),
    () => ({ type: 'patient' }),
  ]
  let stored = 0
  let ids = []

  const store = async () => {
    const jobs = Array.from({ length: random() < 0.03 ? 100 : 1 + below(6) }, () => oneOf(kinds)())
    stored += jobs.length
    ids = [...ids, ...(await tools.enqueue(...jobs))].slice(-recentMax)
  }
  const calls = async () => {
    for (;;) {
      const commands = ids.length > 0 && (stored >= jobsMax || random() < 0.4)
      const call = commands ? tools.command(oneOf(['cancel', 'requeue']), oneOf(ids)) : store()
      await call.catch(refused)
      await setTimeout(random() * pauseMaxMs)
    }
  }
  await Promise.all([calls(), calls(), calls(), calls()])
}

/** A refusal by the machine, or because the process is stopping. */
export function refused(error) {
  if (!['illegal_transition', 'job_not_found', 'unavailable'].includes(error.code)) throw error
}
