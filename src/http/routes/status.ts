import type { JobSystem } from '../../engine/front-door.ts'
import { reply } from '../reply.ts'
import { type live, notReadyView, type ready } from '../wire/health.ts'
import { metricsView } from '../wire/metrics.ts'
import type { Wire } from '../wire/wire.ts'

/** `GET /metrics` */
export async function showMetrics(system: JobSystem): Promise<Response> {
  return reply(metricsView(await system.metrics()), 200, { vary: 'Accept' })
}

/** `GET /livez`: it answers, so it lives. */
export function showLive(): Response {
  return reply({ status: 'live' } satisfies Wire<typeof live>)
}

/** `GET /readyz`: whether a job handed in now would be stored, and why not to those who may know. */
export function showReady(system: JobSystem, mayKnowWhy: boolean): Response {
  const health = system.health()
  if (health.ready) return reply({ status: 'ready' } satisfies Wire<typeof ready>)
  return reply(notReadyView(health, mayKnowWhy), 503, { 'retry-after': '1' })
}
