import { createRequire } from 'node:module'
import type { Metric, Registry, RegistryContentType } from 'prom-client'
import type { HistogramSnapshot, JobSystem, Telemetry } from '../../engine/front-door.ts'
import { replyText } from '../reply.ts'

type Labels = Readonly<Record<string, string>>

/** One metric with all its samples, as prom-client writes it. */
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly values: readonly { readonly metricName?: string; readonly labels: Labels; readonly value: number }[]
}

/** The minimum that perf_hooks reports if there were no delays, in seconds. */
const leastOfNone = 2 ** 63 / 1e9

const require = createRequire(import.meta.url)

/**
 * Loaded with the first scrape, because every start would pay for it and many servers are never scraped. Not with `import()`: Node
 * remembers forever that one failed, as while an update replaces `node_modules`.
 */
const loadClient = (): typeof import('prom-client') => require('prom-client')

let processRegistry: Registry | undefined

/** `GET /metrics/prometheus`; `isOpen`: in the OpenMetrics format. `ofServer`: what is counted outside the system. */
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
 * The process has one event loop and one heap, however many servers: what watches them is created once, at the first scrape, and never
 * stopped.
 */
async function processFamilies(): Promise<Family[]> {
  const { Registry, collectDefaultMetrics } = loadClient()
  if (!processRegistry) {
    processRegistry = new Registry()
    collectDefaultMetrics({ register: processRegistry })
  }
  const families = (await processRegistry.getMetricsAsJSON()) as unknown as Family[]
  // If nothing was measured since the last scrape, there is nothing to report.
  const wasMeasured = ({ value }: { value: number }) => !Number.isNaN(value) && value !== leastOfNone
  return families.map((family) => ({ ...family, values: family.values.filter(wasMeasured) }))
}

/** prom-client asks a metric for its samples and, for OpenMetrics, first removes `_total` from its name. */
function toMetric(family: Family): Metric {
  const metric = { ...family, get: async () => metric }
  return metric as unknown as Metric
}

/**
 * A system's own metrics, in the order of the output. Labels have names from the machine, from handlers, and from the bounded count by
 * type.
 */
function familiesOf(telemetry: Telemetry): Family[] {
  return [
    ...systemFamilies(telemetry),
    ...jobFamilies(telemetry),
    ...attemptFamilies(telemetry),
    ...storeFamilies(telemetry),
  ]
}

function systemFamilies({ version, ready, slots, phases, refusals }: Telemetry): Family[] {
  return [
    gauge('jobmachine_build_info', 'Always 1; its label has the version.', [[{ version }, 1]]),
    gauge('jobmachine_ready', '1 if the last commit succeeded and the system neither recovers nor drains.', [
      [{}, ready ? 1 : 0],
    ]),
    gauge('jobmachine_worker_slots', 'Jobs that may run at once.', [[{}, slots]]),
    gauge(
      'jobmachine_workers',
      'Slots in use: running, or stuck in a handler that does not end.',
      Object.entries(phases).map(([phase, count]) => [{ phase }, count]),
    ),
    counter('jobmachine_lease_refusals_total', 'Outcomes that were refused because their lease was lost.', [
      [{}, refusals],
    ]),
  ]
}

/** Several processes may share a database. */
const ofDatabase = 'All processes that share the database report the same: use max, not sum.'

function jobFamilies({ at, states, transitions, census }: Telemetry): Family[] {
  return [
    gauge(
      'jobmachine_jobs',
      `Jobs in each state, exactly. ${ofDatabase}`,
      Object.entries(states).map(([state, count]) => [{ state }, count]),
    ),
    counter(
      'jobmachine_transitions_total',
      `Transitions of jobs since the database was made. Jobs that retention removed went to removed. ${ofDatabase}`,
      transitions.map(({ from, event, to, count }) => [{ from, event, to: to ?? 'removed' }, count]),
    ),
    gauge(
      'jobmachine_jobs_by_type',
      `Jobs by state, type and queue, counted now and then; those in rare pairs of type and queue are _other. ${ofDatabase}`,
      (census?.jobs ?? []).map(({ state, type, queue, count }) => [{ state, type, queue }, count]),
    ),
    gauge(
      'jobmachine_jobs_by_type_age_seconds',
      'How long ago jobmachine_jobs_by_type was counted.',
      census ? [[{}, Math.max(at - census.at, 0) / 1_000]] : [],
    ),
  ]
}

function attemptFamilies({ types }: Telemetry): Family[] {
  return [
    histogram(
      'jobmachine_job_time_in_queue_seconds',
      'From the instant a job could run to the call of its handler.',
      types.map(({ type, timeInQueue }) => [{ type }, inSeconds(timeInQueue)]),
    ),
    histogram(
      'jobmachine_job_execution_seconds',
      'From the call of a handler to its end, whatever the outcome.',
      types.map(({ type, execution }) => [{ type }, inSeconds(execution)]),
    ),
  ]
}

function storeFamilies({ commits, files }: Telemetry): Family[] {
  return [
    histogram(
      'jobmachine_commit_duration_seconds',
      'From the beginning of a transaction until it was on disk, if it wrote an event.',
      [[{}, inSeconds(commits.durationMs)]],
    ),
    histogram('jobmachine_commit_events', 'Events that one such transaction wrote.', [[{}, commits.events]]),
    gauge('jobmachine_database_bytes', `The size of the database. ${ofDatabase}`, [[{}, files.database]]),
    gauge('jobmachine_wal_bytes', 'The size of the write-ahead log of the file; 0 on PostgreSQL.', [[{}, files.wal]]),
  ]
}

/** What is counted outside the system: `droppedLines` of a log that counts them, `wrongTokens` of a server that requires one. */
export function serverFamilies(
  droppedLines: (() => number) | undefined,
  wrongTokens: Readonly<Record<string, number>> | null,
): Family[] {
  const families: Family[] = []
  if (droppedLines) {
    families.push(
      counter(
        'jobmachine_log_lines_dropped_total',
        'Log lines that could not be written or that nobody read, since the process started.',
        [[{}, droppedLines()]],
      ),
    )
  }
  if (wrongTokens) {
    families.push(
      counter(
        'jobmachine_wrong_tokens_total',
        'Wrong API tokens since the process started: typed into the login form, sent as a bearer token, or used to make a cookie.',
        Object.entries(wrongTokens).map(([kind, count]) => [{ kind }, count]),
      ),
    )
  }
  return families
}

type Samples = readonly (readonly [labels: Labels, value: number])[]

function gauge(name: string, help: string, samples: Samples): Family {
  return { name, help, type: 'gauge', values: samples.map(([labels, value]) => ({ labels, value })) }
}

function counter(name: string, help: string, samples: Samples): Family {
  return { name, help, type: 'counter', values: samples.map(([labels, value]) => ({ labels, value })) }
}

function histogram(name: string, help: string, snapshots: readonly (readonly [Labels, HistogramSnapshot])[]): Family {
  const values = snapshots.flatMap(([labels, { bounds, counts, count, sum }]) => {
    let upTo = 0
    const buckets = bounds.map((bound, index) => {
      upTo += counts[index]!
      return { metricName: `${name}_bucket`, labels: { ...labels, le: `${bound}` }, value: upTo }
    })
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count },
    ]
  })
  return { name, help, type: 'histogram', values }
}

function inSeconds({ bounds, counts, count, sum }: HistogramSnapshot): HistogramSnapshot {
  return { bounds: bounds.map((bound) => bound / 1_000), counts, count, sum: sum / 1_000 }
}
