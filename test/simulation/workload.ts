import { z } from 'zod'
import { PermanentError, RetryAfterError, SnoozeError } from '../../src/errors.ts'
import { defineHandler, type Handler, type JobContext } from '../../src/handlers/define.ts'
import type { NewJob } from '../../src/job/fields.ts'
import type { Random } from '../torture/random.ts'
import type { VirtualTime } from './virtual-time.ts'
import type { Witness } from './witness.ts'

const types = ['quick', 'slow', 'flaky', 'hopeless', 'later', 'snoozer', 'polite', 'stuck', 'blocker'] as const
type Type = (typeof types)[number]

/** How often each is enqueued. */
const weights: Record<Type, number> = {
  quick: 40,
  slow: 12,
  flaky: 12,
  hopeless: 4,
  later: 4,
  snoozer: 6,
  polite: 4,
  stuck: 1,
  blocker: 2,
}

export interface Around {
  readonly random: Random
  readonly time: VirtualTime
  readonly witness: Witness
  readonly workers: () => number
  /** From now on every handler does its work at once. */
  readonly isCalm: () => boolean
}

/** The handlers of the simulated process: they do everything that handlers can, at random. */
export function createHandlers(around: Around): Handler[] {
  return types.map((type) =>
    defineHandler({
      type,
      payload: z.unknown(),
      async run(_, context) {
        const call = { jobId: context.jobId, isAborted: () => context.signal.aborted }
        around.witness.started(call, around.workers())
        try {
          await behave(around.isCalm() ? 'quick' : type, context, around)
        } finally {
          around.witness.ended(call)
        }
      },
    }),
  )
}

/** A job as some program might request it; now and then with a key that another has used. */
export function someJob({ random, witness }: Around): NewJob & { payload: { mark: number } } {
  const may = <Fields extends object>(share: number, fields: Fields) => (random.chance(share) ? fields : {})
  return {
    type: random.weighted(weights),
    payload: { mark: witness.newMark() },
    ...may(0.3, { queue: random.pick(['mail', 'a', 'z']) }),
    ...may(0.3, { priority: random.int(-2, 2) }),
    ...may(0.25, { delayMs: random.int(0, 4_000) }),
    ...may(0.4, { maxRetries: random.int(0, 2) }),
    ...may(0.3, { timeoutMs: random.int(20, 2_000) }),
    ...may(0.1, { idempotencyKey: `key-${random.int(1, 30)}` }),
  }
}

async function behave(type: Type, { signal }: JobContext, { random, time }: Around): Promise<void> {
  switch (type) {
    case 'quick':
      return random.chance(0.5) ? undefined : wait(random.int(0, 20))
    case 'slow':
      return wait(random.int(100, 3_000))
    case 'flaky':
      await wait(random.int(0, 50))
      if (random.chance(0.6)) throw random.pick([new Error('flaky'), 'a string', undefined, { toString: null }])
      return
    case 'hopeless':
      throw new PermanentError('never')
    case 'later':
      throw new RetryAfterError(random.int(0, 2_000))
    case 'snoozer':
      if (random.chance(0.7)) throw new SnoozeError(random.int(0, 1_500))
      return
    case 'polite':
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    case 'stuck':
      return new Promise(() => {})
    case 'blocker':
      // The code after this represents what a blocked loop would do next: it runs when the loop does.
      time.hold(['loop'], random.int(100, 4_000))
      return wait(0)
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
