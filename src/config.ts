import { inspect } from 'node:util'

/** The settings of a job system. Durations in ms. `defaults` has the default values. */
export interface Settings {
  /** Jobs that run at once, 1 to 1,000. */
  readonly workers: number
  /** Visibility timeout: how long a silent worker keeps its job. */
  readonly leaseMs: number
  /** Limit for one attempt, if neither the job nor its handler sets one. */
  readonly jobTimeoutMs: number
  /** Exponential backoff with jitter: the first delay and the longest. */
  readonly retryBaseMs: number
  readonly retryMaxMs: number
  /** How long `succeeded` and `cancelled` jobs are kept after they end; 0 means forever. */
  readonly retentionMs: number
  /** Jobs in `scheduled`, `queued` and `retrying` together. */
  readonly maxQueueDepth: number
  /** The same limit for one queue, so that one queue cannot use all of it; four fifths of `maxQueueDepth` by default. */
  readonly maxDepthPerQueue: number
  /** One payload as UTF-8 JSON. */
  readonly maxPayloadBytes: number
  /** Members and elements of one payload, at every depth. Its schema checks each one on the event loop. */
  readonly maxPayloadValues: number
  /** What a handler returns, as UTF-8 JSON. */
  readonly maxResultBytes: number
  /** How long running jobs may take to finish when the system stops. */
  readonly shutdownGraceMs: number
}

/** The share of the waiting jobs that one queue may have. */
const shareOfQueue = 0.8

export const defaults: Settings = {
  workers: 10,
  leaseMs: 30_000,
  jobTimeoutMs: 300_000,
  retryBaseMs: 1_000,
  retryMaxMs: 3_600_000,
  retentionMs: 604_800_000,
  maxQueueDepth: 1_000_000,
  maxDepthPerQueue: 800_000,
  maxPayloadBytes: 262_144,
  maxPayloadValues: 10_000,
  maxResultBytes: 65_536,
  shutdownGraceMs: 25_000,
}

/** What each setting may be. */
export const ranges: Readonly<Record<keyof Settings, { readonly min: number; readonly max: number }>> = {
  workers: { min: 1, max: 1_000 },
  leaseMs: { min: 100, max: 86_400_000 },
  jobTimeoutMs: { min: 1, max: 86_400_000 },
  retryBaseMs: { min: 1, max: 86_400_000 },
  retryMaxMs: { min: 1, max: 31_536_000_000 },
  retentionMs: { min: 0, max: 3_155_760_000_000 },
  maxQueueDepth: { min: 1, max: 1_000_000_000 },
  maxDepthPerQueue: { min: 1, max: 1_000_000_000 },
  maxPayloadBytes: { min: 1, max: 268_435_456 },
  maxPayloadValues: { min: 1, max: 10_000_000 },
  maxResultBytes: { min: 1, max: 268_435_456 },
  shutdownGraceMs: { min: 0, max: 86_400_000 },
}

/** Fills in the defaults. All given values must be within their ranges. */
export function completeSettings(given: { readonly [Name in keyof Settings]?: Settings[Name] | undefined }): Settings {
  const named = Object.entries(given).filter(([name, value]) => name in ranges && value !== undefined)
  const settings: Settings = { ...defaults, ...Object.fromEntries(named) }
  return { ...settings, maxDepthPerQueue: given.maxDepthPerQueue ?? Math.ceil(settings.maxQueueDepth * shareOfQueue) }
}

/** Retries after the first attempt, if neither the job nor its handler sets them. */
export const defaultMaxRetries = 3
/** Jobs in one `enqueue` call. */
export const enqueueBatchMax = 1_000
/** The most items on a page, and the default: jobs of a list, transitions of one job, and of all jobs, lines of a log. */
export const pageSizes = {
  list: { max: 500, byDefault: 50 },
  history: { max: 1_000, byDefault: 1_000 },
  transitions: { max: 1_000, byDefault: 1_000 },
  log: { max: 1_000, byDefault: 1_000 },
  preview: { max: 100, byDefault: 5 },
}
/** Defaults: the bytes of one HTTP request's body, and write requests that are served at the same time. */
export const requestDefaults = { maxRequestBytes: 8_388_608, maxInFlightRequests: 1_000 }
/** The JSON of one HTTP request may have this many times the members and elements of one payload. */
export const requestPayloadsMax = 10
/** How long one HTTP request may wait for a result, in ms: less than proxies and our own server wait for a silent connection. */
export const resultWaitMaxMs = 30_000
/** The path under which browsers see the API and the dashboard, such as `/admin/jobs`, without a slash at its end. */
export const basePathPattern = /^(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$/
/** Of job types and queues. */
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/
/** Of one attempt. */
export const timeoutMaxMs = 86_400_000
/** The most retries, of a job or of a handler's jobs. */
export const retriesMax = 1_000
/** How long an aborted handler may take to end before its attempt is given up. */
export const abortGraceMs = 5_000

/** An invalid value as an error names it, on one line. */
export function shown(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY, maxStringLength: 100, maxArrayLength: 3 })
}
