/** What can block an event, as stable codes. */
export type ObstacleCode =
  /** Its row, its payload or its history cannot be read. */
  | 'unreadable'
  /** Another job holds its unique key. */
  | 'unique_key_held'
  /** Its `run_at` is in the future. */
  | 'not_due'
  /** Other jobs of its queue are leased first. */
  | 'behind_others'
  | 'no_free_worker'
  /** A job that ran at more than one end of the process runs alone. */
  | 'suspect_alone'
  /** Such jobs run before it, one at a time. */
  | 'behind_suspects'
  /** Its type has no handler here. */
  | 'no_handler'
  /** It was set aside when its type had no handler; now there is one. */
  | 'put_aside'
  /** A running process holds its lease. */
  | 'lease_held'
  /** The process that held its lease is dead. */
  | 'holder_gone'
  | 'attempt_running'
  /** Its handler was told to stop, which rules out other ends of the attempt. */
  | 'attempt_aborted'
  /** Its handler has ended, but the outcome is not yet on disk. */
  | 'outcome_pending'
  /** Happens only when a server stops. */
  | 'not_stopping'
  | 'not_started'
  /** This server has stopped or failed. */
  | 'not_serving'
  | 'recovering'
  | 'draining'
  /** Commits fail: the disk is full, another process holds the file, the file is broken. */
  | 'storage_trouble'
  /** This process is not a server, and does not know what the server does. */
  | 'server_elsewhere'
  /** Another node holds it, or has a handler for its type: this process does not know what that one does. */
  | 'node_elsewhere'
  /** Something must happen first that neither time nor a server brings about. */
  | 'needs_event'
  /** It has ended. */
  | 'ended'

/** What prevents an event of a job. */
export interface Obstacle {
  readonly code: ObstacleCode
  /** A clause: `all 10 workers are busy`. */
  readonly message: string
  /** When it ends by itself, in epoch ms; null if that is unknown, or never. */
  readonly until: number | null
}
