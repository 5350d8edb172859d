import { z } from 'zod'
import type { Metrics } from '../../engine/front-door.ts'
import { count, named, type Wire } from './wire.ts'

const sinceStart = 'Since the process started'
export const metrics = named(
  'Metrics',
  z.strictObject({
    active_workers: count.describe('Now.'),
    queue_depth: count.describe('Jobs that could run now and wait for a worker.'),
    dead_letter_count: count.describe('Now.'),
    retry_count: count.describe(`${sinceStart}: failed attempts of jobs that run again.`),
    success_count: count.describe(`${sinceStart}.`),
    failure_count: count.describe(`${sinceStart}: attempts that ended in fail, reject or expire.`),
    avg_execution_ms: z.number().min(0).describe(`${sinceStart}; 0 if no attempt has ended.`),
    avg_time_in_queue_ms: z
      .number()
      .min(0)
      .describe(`${sinceStart}: from when a job could run to its handler's call; 0 if none has started.`),
  }),
)

export function metricsView(given: Metrics): Wire<typeof metrics> {
  return {
    active_workers: given.activeWorkers,
    queue_depth: given.queueDepth,
    dead_letter_count: given.deadLetterCount,
    retry_count: given.retryCount,
    success_count: given.successCount,
    failure_count: given.failureCount,
    avg_execution_ms: given.avgExecutionMs,
    avg_time_in_queue_ms: given.avgTimeInQueueMs,
  }
}
