import { bulkRoutes } from './bulk.ts'
import { documentRoute } from './docs.ts'
import { eventRoutes } from './events.ts'
import { healthRoutes } from './health.ts'
import { jobRoutes } from './jobs.ts'
import { machineRoutes } from './machines.ts'
import { metricsRoutes } from './metrics.ts'
import { nodeRoutes } from './nodes.ts'
import type { ApiRoute } from './route.ts'
import { scheduleRoutes } from './schedules.ts'

/** The API: every route for programs, in the order of its description. */
export const apiRoutes: readonly ApiRoute[] = [
  ...jobRoutes,
  ...bulkRoutes,
  ...eventRoutes,
  ...scheduleRoutes,
  ...machineRoutes,
  ...nodeRoutes,
  ...metricsRoutes,
  ...healthRoutes,
  documentRoute,
]
