import { claim, jobStates } from '../../machines/edges.ts'
import { firstStateIsLegal, stateIsOneOf, stateIsTagged, updateIsEdge, updateIsPath } from '../edge-sql.ts'

/** Marks the file as ours (`PRAGMA application_id`): "jobm". */
export const applicationId = 0x6a6f626d

/** Queued jobs that a lease here may take: their type is not known to be without a handler. */
export const isReady = `${stateIsTagged('ready')} AND jobs.parked = 0`
/** Queued jobs put aside because no handler here runs their type. */
export const isParked = `${stateIsTagged('ready')} AND jobs.parked = 1`
/** Jobs that wait for their `run_at`. */
export const isTimed = stateIsTagged('timed')
export const isHeld = 'jobs.lease_token IS NOT NULL'

/** Events of one job from one that is marked to the next. */
export const markEvery = 100
export const isMark = `seq % ${markEvery} = 0`

/** Jobs that a row of `event_runs` tells of. */
export function isOfRun(run: string): string {
  return `jobs.id BETWEEN ${run}.first_job_id AND ${run}.first_job_id + ${run}.length - 1`
}

/** A condition over `jobs` as a partial index and a CHECK want it, without the table's name. */
const bare = (condition: string) => condition.replaceAll('jobs.', '')

/**
 * The schema, version by version; `PRAGMA user_version` counts those applied. What the machine decides is generated from its edge table,
 * so a change of the machine changes this text: a test holds it against a copy, and asks for a migration.
 *
 * Nothing newer than SQLite 3.40 (Debian 12's shell must open the file), and RAISE takes literals only. A trigger on `id` does not see an
 * UPDATE that calls the column `rowid`, so each of its names stands there. Payloads stand in a table of
 * their own: a transition rewrites the job's row, and should not rewrite two kilobytes of payload with it (measured: drain 2.5 times as
 * fast at 2 kB, the same at 20 bytes).
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    queue TEXT NOT NULL,
    state TEXT NOT NULL CHECK (${stateIsOneOf(jobStates, 'state')}),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL CHECK (attempt >= 0 AND attempt <= max_attempts),
    max_attempts INTEGER NOT NULL CHECK (max_attempts >= 1),
    run_at INTEGER NOT NULL,
    timeout_ms INTEGER,
    parked INTEGER NOT NULL DEFAULT 0,
    lease_token INTEGER,
    lease_expires_at INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    idempotency_key TEXT,
    content TEXT,
    error TEXT,
    CHECK (${firstStateIsLegal()}),
    CHECK ((lease_token IS NOT NULL) = ${bare(stateIsTagged('held'))}),
    CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL)),
    CHECK ((finished_at IS NOT NULL) = ${bare(stateIsTagged('ended'))}),
    CHECK ((idempotency_key IS NULL) = (content IS NULL))
  );
  CREATE INDEX jobs_ready ON jobs (queue, priority DESC, run_at, id) WHERE ${bare(isReady)};
  CREATE INDEX jobs_parked ON jobs (type, id) WHERE ${bare(isParked)};
  CREATE INDEX jobs_timed ON jobs (run_at, id) WHERE ${bare(isTimed)};
  CREATE INDEX jobs_held ON jobs (lease_expires_at) WHERE ${bare(isHeld)};
  CREATE UNIQUE INDEX jobs_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;

  CREATE TABLE job_payloads (
    job_id INTEGER PRIMARY KEY,
    payload TEXT NOT NULL
  );

  CREATE TABLE job_events (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    error TEXT,
    UNIQUE (job_id, seq)
  );

  -- How often each edge was taken since the file was made; from_state 'new': enqueued, to_state '': removed by retention.
  CREATE TABLE edge_counts (
    from_state TEXT NOT NULL,
    event TEXT NOT NULL,
    to_state TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (from_state, event, to_state)
  ) WITHOUT ROWID;

  CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) WITHOUT ROWID;

  CREATE TRIGGER jobs_take_edges BEFORE UPDATE OF id, rowid, oid, _rowid_, state, seq ON jobs
  WHEN NOT (NEW.id = OLD.id AND NEW.seq = OLD.seq + 1 AND (${updateIsEdge()}))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: no edge of the job machine; a state changes by one edge and raises seq by one');
  END;

  CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs
  WHEN NOT ${stateIsTagged('expendable', 'OLD.state')}
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: only succeeded and cancelled jobs may be removed');
  END;

  CREATE TRIGGER job_events_are_final BEFORE UPDATE ON job_events
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: history is not rewritten');
  END;

  CREATE TRIGGER job_events_stay BEFORE DELETE ON job_events
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: the history of a job goes only after its job');
  END;

  CREATE TRIGGER job_payloads_are_final BEFORE UPDATE ON job_payloads
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a payload is not rewritten');
  END;

  CREATE TRIGGER job_payloads_stay BEFORE DELETE ON job_payloads
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a payload goes only after its job');
  END;
  `,
  // Each event points to the job's one before it, and the job to its newest. An index over (job_id, seq) was written in three places by each
  // commit, and took a sixth of the store's time.
  `
  ALTER TABLE jobs ADD COLUMN last_event_id INTEGER;
  UPDATE jobs SET last_event_id = (SELECT id FROM job_events WHERE job_id = jobs.id ORDER BY seq DESC LIMIT 1);

  CREATE TABLE linked_events (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    error TEXT,
    previous_id INTEGER
  );
  INSERT INTO linked_events
    SELECT id, job_id, seq, event, from_state, to_state, attempt, at, error,
      (SELECT id FROM job_events AS earlier WHERE earlier.job_id = job_events.job_id AND earlier.seq < job_events.seq
        ORDER BY earlier.seq DESC LIMIT 1)
    FROM job_events ORDER BY id;
  DROP TABLE job_events;
  ALTER TABLE linked_events RENAME TO job_events;
  -- Where a walk through a long history may begin.
  CREATE INDEX job_events_marks ON job_events (job_id, seq) WHERE ${isMark};

  CREATE TRIGGER job_events_are_final BEFORE UPDATE ON job_events
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: history is not rewritten');
  END;

  CREATE TRIGGER job_events_stay BEFORE DELETE ON job_events
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: the history of a job goes only after its job');
  END;
  `,
  // A claim's two events in one write of the row. AFTER, for SQLite seeks the row again and reads all of it anew once a BEFORE trigger ran.
  `
  DROP TRIGGER jobs_take_edges;
  CREATE TRIGGER jobs_take_edges AFTER UPDATE OF id, rowid, oid, _rowid_, state, seq ON jobs
  WHEN NOT (NEW.id = OLD.id AND (
    (NEW.seq = OLD.seq + 1 AND (${updateIsEdge()}))
    OR (NEW.seq = OLD.seq + ${claim.length} AND (${updateIsPath(claim)}))))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: no edge of the job machine; a state changes by one edge, or by those of a claim, and raises seq by one for each');
  END;
  `,
  // One row for an event of jobs with consecutive ids and the same past: what is enqueued together is mostly claimed together, and ends so.
  `
  DROP TRIGGER job_events_are_final;
  DROP TRIGGER job_events_stay;
  ALTER TABLE job_events RENAME TO event_runs;
  ALTER TABLE event_runs RENAME COLUMN job_id TO first_job_id;
  ALTER TABLE event_runs ADD COLUMN length INTEGER NOT NULL DEFAULT 1;

  CREATE TRIGGER event_runs_are_final BEFORE UPDATE ON event_runs
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: history is not rewritten');
  END;

  CREATE TRIGGER event_runs_stay BEFORE DELETE ON event_runs
  WHEN EXISTS (SELECT 1 FROM jobs WHERE ${isOfRun('OLD')})
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: the history of a job goes only after its job');
  END;

  -- One row an event. CROSS, or SQLite goes through all events once for each job where one of their columns is asked for.
  CREATE VIEW job_events AS
    SELECT event_runs.id + jobs.id - first_job_id AS id, jobs.id AS job_id, event_runs.seq, event, from_state, to_state,
      event_runs.attempt, at, event_runs.error, previous_id + jobs.id - first_job_id AS previous_id
    FROM event_runs CROSS JOIN jobs ON ${isOfRun('event_runs')};
  `,
]
