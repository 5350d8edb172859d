import { createRequire } from 'node:module'
import type { Metric, Registry, RegistryContentType } from 'prom-client'
import type { JobSystem } from '../../engine/front-door.ts'
import { replyText } from '../reply.ts'
import { type Family, familiesOf } from './metric-families.ts'

/** What perf_hooks has as the least of no delays at all, in seconds. */
const leastOfNone = 2 ** 63 / 1e9

const require = createRequire(import.meta.url)

/**
 * Loaded with the first scrape: every start would pay for it, and many are never scraped. Not by `import()`: Node remembers for ever that one
 * failed, as while an update replaces `node_modules`.
 */
const loadClient = (): typeof import('prom-client') => require('prom-client')

let processRegistry: Registry | undefined

/** `GET /metrics/prometheus`; `isOpen`: as OpenMetrics. `ofServer`: what is counted outside the system. */
export async function showPrometheus(
  system: JobSystem,
  { isOpen = false } = {},
  ofServer: () => readonly Family[] = () => [],
): Promise<Response> {
  const { Registry } = loadClient()
  const [telemetry, ofProcess] = await Promise.all([system.telemetry(), processFamilies()])
  const registry = new Registry<RegistryContentType>()
  if (isOpen) registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  for (const family of [...familiesOf(telemetry), ...ofServer(), ...ofProcess])
    registry.registerMetric(toMetric(family))
  return replyText(await registry.metrics(), registry.contentType, { headers: { vary: 'Accept' } })
}

/**
 * The process has one event loop and one heap, however many servers: what watches them is made once, at the first scrape, and never stopped.
 */
async function processFamilies(): Promise<Family[]> {
  const { Registry, collectDefaultMetrics } = loadClient()
  if (!processRegistry) {
    processRegistry = new Registry()
    collectDefaultMetrics({ register: processRegistry })
  }
  const families = (await processRegistry.getMetricsAsJSON()) as unknown as Family[]
  // Where nothing was measured since the last scrape there is nothing to tell.
  const wasMeasured = ({ value }: { value: number }) => !Number.isNaN(value) && value !== leastOfNone
  return families.map((family) => ({ ...family, values: family.values.filter(wasMeasured) }))
}

/** prom-client asks a metric for its samples and, for OpenMetrics, takes `_total` from its name first. */
function toMetric(family: Family): Metric {
  const metric = { ...family, get: async () => metric }
  return metric as unknown as Metric
}
