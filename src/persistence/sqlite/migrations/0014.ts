/** The state `blocked`: a job that waits for another. SQLite changes no CHECK, so the jobs move into a new table, also those that a hand has damaged. */
export const sql = `
  PRAGMA legacy_alter_table = ON;
  PRAGMA ignore_check_constraints = ON;
  CREATE TABLE jobs_moved (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    queue TEXT NOT NULL,
    state TEXT NOT NULL CHECK ((state = 'blocked' OR state = 'scheduled' OR state = 'queued' OR state = 'leased' OR state = 'running' OR state = 'retrying' OR state = 'succeeded' OR state = 'dead' OR state = 'cancelled')),
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
    last_event_id INTEGER,
    crashes INTEGER NOT NULL DEFAULT 0 CHECK (crashes >= 0),
    CHECK (seq > 1 OR (state = 'blocked' OR state = 'scheduled' OR state = 'queued')),
    CHECK ((lease_token IS NOT NULL) = (state = 'leased' OR state = 'running')),
    CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL)),
    CHECK ((finished_at IS NOT NULL) = (state = 'succeeded' OR state = 'dead' OR state = 'cancelled')),
    CHECK ((idempotency_key IS NULL) = (content IS NULL))
  );
  INSERT INTO jobs_moved (id, type, queue, state, seq, priority, attempt, max_attempts, run_at, timeout_ms, parked, lease_token, lease_expires_at, created_at, started_at, finished_at, idempotency_key, content, error, last_event_id, crashes)
  SELECT id, type, queue, state, seq, priority, attempt, max_attempts, run_at, timeout_ms, parked, lease_token, lease_expires_at, created_at, started_at, finished_at, idempotency_key, content, error, last_event_id, crashes FROM jobs ORDER BY id;
  DELETE FROM sqlite_sequence WHERE name = 'jobs_moved';
  INSERT INTO sqlite_sequence (name, seq) SELECT 'jobs_moved', seq FROM sqlite_sequence WHERE name = 'jobs';
  DROP TABLE jobs;
  ALTER TABLE jobs_moved RENAME TO jobs;
  PRAGMA ignore_check_constraints = OFF;
  PRAGMA legacy_alter_table = OFF;

  CREATE INDEX jobs_ready ON jobs (queue, priority DESC, run_at, id) WHERE (state = 'queued') AND parked = 0;
  CREATE INDEX jobs_parked ON jobs (parked, type, id) WHERE (state = 'queued') AND parked > 0;
  CREATE INDEX jobs_timed ON jobs (run_at, id) WHERE (state = 'scheduled' OR state = 'retrying');
  CREATE INDEX jobs_held ON jobs (lease_expires_at) WHERE lease_token IS NOT NULL;
  CREATE UNIQUE INDEX jobs_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;

  CREATE TRIGGER jobs_take_edges AFTER UPDATE OF id, rowid, oid, _rowid_, state, seq ON jobs
  WHEN NOT (NEW.id = OLD.id AND (
    (NEW.seq = OLD.seq + 1 AND ((OLD.state = 'blocked' AND (NEW.state = 'scheduled' OR NEW.state = 'queued' OR NEW.state = 'cancelled' OR NEW.state = 'blocked')) OR (OLD.state = 'scheduled' AND (NEW.state = 'cancelled' OR NEW.state = 'scheduled' OR NEW.state = 'queued')) OR (OLD.state = 'queued' AND (NEW.state = 'cancelled' OR NEW.state = 'scheduled' OR NEW.state = 'queued' OR NEW.state = 'leased')) OR (OLD.state = 'leased' AND (NEW.state = 'cancelled' OR NEW.state = 'running' OR NEW.state = 'queued')) OR (OLD.state = 'running' AND (NEW.state = 'cancelled' OR NEW.state = 'queued' OR NEW.state = 'retrying' OR NEW.state = 'dead' OR NEW.state = 'succeeded' OR NEW.state = 'scheduled')) OR (OLD.state = 'retrying' AND (NEW.state = 'cancelled' OR NEW.state = 'retrying' OR NEW.state = 'queued')) OR (OLD.state = 'dead' AND (NEW.state = 'cancelled' OR NEW.state = 'queued')) OR (OLD.state = 'cancelled' AND (NEW.state = 'queued')))
      AND (NEW.state <> OLD.state OR (SELECT event = 'amend' AND seq = NEW.seq FROM event_runs WHERE id = NEW.last_event_id) IS TRUE))
    OR (NEW.seq = OLD.seq + 2 AND ((OLD.state = 'queued' AND (NEW.state = 'running'))))))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: no edge of the job machine; a state changes by one edge, or by those of a claim, and raises seq by one for each');
  END;

  CREATE TRIGGER jobs_have_events AFTER INSERT ON jobs
  WHEN (SELECT NEW.id >= first_job_id AND NEW.id < first_job_id + length AND NEW.last_event_id - NEW.id = id - first_job_id
    FROM event_runs ORDER BY id DESC LIMIT 1) IS NOT TRUE
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a job is stored with its history; use INSERT INTO new_jobs (type, payload), which writes both');
  END;

  CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs
  WHEN NOT (OLD.state = 'succeeded' OR OLD.state = 'cancelled')
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: only succeeded and cancelled jobs may be removed');
  END;
  `
