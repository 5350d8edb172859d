import type { JobSystem } from '../../engine/front-door.ts'
import { reply } from '../reply.ts'

/** `GET /metrics` */
export async function showMetrics(system: JobSystem): Promise<Response> {
  const metrics = await system.metrics()
  const body = {
    active_workers: metrics.activeWorkers,
    queue_depth: metrics.queueDepth,
    dead_letter_count: metrics.deadLetterCount,
    retry_count: metrics.retryCount,
    success_count: metrics.successCount,
    failure_count: metrics.failureCount,
    avg_execution_ms: metrics.avgExecutionMs,
    avg_time_in_queue_ms: metrics.avgTimeInQueueMs,
  }
  return reply(body, 200, { vary: 'Accept' })
}

/** `GET /livez`: it answers, so it lives. */
export function showLive(): Response {
  return reply({ status: 'live' })
}

/** `GET /readyz`: whether a job handed in now would be stored, and why not to those who may know. */
export function showReady(system: JobSystem, mayKnowWhy: boolean): Response {
  const { ready, reason } = system.health()
  if (ready) return reply({ status: 'ready' })
  return reply({ status: 'not ready', ...(mayKnowWhy && { reason }) }, 503, { 'retry-after': '1' })
}
