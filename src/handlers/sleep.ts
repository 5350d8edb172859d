import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import { timeoutMaxMs } from '../config.ts'
import { defineHandler, type Handler } from './define.ts'
import { strictPayload, takes } from './payload.ts'

const duration = takes('a whole number of milliseconds from 0 to 86400000')

/** Waits `ms`, up to a day, and succeeds; for load tests. Rejects with the signal's reason at once when aborted. */
export function sleep(): Handler<{ ms: number }> {
  return defineHandler({
    type: 'sleep',
    // The longest sleep, so that no timeout in the settings cuts a job short.
    timeoutMs: timeoutMaxMs,
    payload: strictPayload({
      ms: z.int(duration).min(0, duration).max(timeoutMaxMs, duration).describe('How long, in ms.'),
    }).meta({ description: 'Waits, and ends at once when it is aborted; for load tests.', examples: [{ ms: 5 }] }),

    async run({ ms }, { signal }) {
      try {
        await setTimeout(ms, undefined, { signal })
      } catch (error) {
        signal.throwIfAborted()
        throw error
      }
    },
  })
}
