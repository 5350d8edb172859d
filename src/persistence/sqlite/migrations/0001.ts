export const sql = `
  CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    queue TEXT NOT NULL,
    state TEXT NOT NULL CHECK ((state = 'scheduled' OR state = 'queued' OR state = 'leased' OR state = 'running' OR state = 'retrying' OR state = 'succeeded' OR state = 'dead' OR state = 'cancelled')),
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
    CHECK (seq > 1 OR (state = 'scheduled' OR state = 'queued')),
    CHECK ((lease_token IS NOT NULL) = (state = 'leased' OR state = 'running')),
    CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL)),
    CHECK ((finished_at IS NOT NULL) = (state = 'succeeded' OR state = 'dead' OR state = 'cancelled')),
    CHECK ((idempotency_key IS NULL) = (content IS NULL))
  );
  CREATE INDEX jobs_ready ON jobs (queue, priority DESC, run_at, id) WHERE (state = 'queued') AND parked = 0;
  CREATE INDEX jobs_parked ON jobs (type, id) WHERE (state = 'queued') AND parked = 1;
  CREATE INDEX jobs_timed ON jobs (run_at, id) WHERE (state = 'scheduled' OR state = 'retrying');
  CREATE INDEX jobs_held ON jobs (lease_expires_at) WHERE lease_token IS NOT NULL;
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
  WHEN NOT (NEW.id = OLD.id AND NEW.seq = OLD.seq + 1 AND ((OLD.state = 'scheduled' AND (NEW.state = 'queued' OR NEW.state = 'cancelled')) OR (OLD.state = 'queued' AND (NEW.state = 'cancelled' OR NEW.state = 'leased')) OR (OLD.state = 'leased' AND (NEW.state = 'cancelled' OR NEW.state = 'running' OR NEW.state = 'queued')) OR (OLD.state = 'running' AND (NEW.state = 'cancelled' OR NEW.state = 'queued' OR NEW.state = 'retrying' OR NEW.state = 'dead' OR NEW.state = 'succeeded' OR NEW.state = 'scheduled')) OR (OLD.state = 'retrying' AND (NEW.state = 'queued' OR NEW.state = 'cancelled')) OR (OLD.state = 'dead' AND (NEW.state = 'queued')) OR (OLD.state = 'cancelled' AND (NEW.state = 'queued'))))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: no edge of the job machine; a state changes by one edge and raises seq by one');
  END;

  CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs
  WHEN NOT (OLD.state = 'succeeded' OR OLD.state = 'cancelled')
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
  `
