/** What can stand in the way, in words that stay. */
export type ObstacleCode =
  /** Its `run_at` lies ahead. */
  | 'not_due'
  /** Other jobs of its queue are leased first. */
  | 'behind_others'
  | 'no_free_worker'
  /** A job that ran at more than one end of the process runs alone. */
  | 'suspect_alone'
  /** Such jobs go before it, one at a time. */
  | 'behind_suspects'
  /** Nobody here runs its type. */
  | 'no_handler'
  /** It was put aside when nobody ran its type; now somebody does. */
  | 'put_aside'
  /** Someone holds its lease, and lives. */
  | 'lease_held'
  /** The process that held its lease is dead. */
  | 'holder_gone'
  | 'attempt_running'
  /** Its handler was told to stop, which rules out other ends of the attempt. */
  | 'attempt_aborted'
  /** Its handler has ended, and the outcome is not yet on disk. */
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
  /** Something must happen first that no instant and no server brings about. */
  | 'needs_event'
  /** It has come to its end. */
  | 'ended'

/** What prevents an event of a job. */
export interface Obstacle {
  readonly code: ObstacleCode
  /** A clause: `all 10 workers are busy`. */
  readonly message: string
  /** When it is out of the way by itself, in epoch ms; null if that is not known, or never. */
  readonly until: number | null
}
