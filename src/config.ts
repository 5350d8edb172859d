/** What a job system can be told. Durations in ms. `defaults` has what stands where nothing is said. */
export interface Settings {
  /** Jobs executing at once, 1 to 1,000. */
  readonly workers: number
  /** Visibility timeout: how long a silent worker keeps a job. */
  readonly leaseMs: number
  /** Limit for one attempt where neither job nor handler has one. */
  readonly jobTimeoutMs: number
  /** Exponential backoff with jitter: the first delay and the longest. */
  readonly retryBaseMs: number
  readonly retryMaxMs: number
  /** How long `succeeded` and `cancelled` jobs are kept after they ended; 0: for ever. */
  readonly retentionMs: number
  /** Jobs in `scheduled`, `queued` and `retrying` together. */
  readonly maxQueueDepth: number
  /** One payload as UTF-8 JSON. */
  readonly maxPayloadBytes: number
  /** How long running jobs may take to finish when the system stops. */
  readonly shutdownGraceMs: number
}

export const defaults: Settings = {
  workers: 10,
  leaseMs: 30_000,
  jobTimeoutMs: 300_000,
  retryBaseMs: 1_000,
  retryMaxMs: 3_600_000,
  retentionMs: 604_800_000,
  maxQueueDepth: 1_000_000,
  maxPayloadBytes: 262_144,
  shutdownGraceMs: 25_000,
}

/** Retries after the first attempt where neither job nor handler says. */
export const defaultMaxRetries = 3
/** Jobs in one `enqueue` call. */
export const enqueueBatchMax = 1_000
/** Jobs on one page of a list, and where nothing is said. */
export const listLimitMax = 500
export const listLimitDefault = 50
/** Transitions on one page of a history. */
export const historyLimitMax = 1_000
