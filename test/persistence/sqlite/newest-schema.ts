import { claim, edges, edgesOn, jobStates } from '../../../src/machines/edges.ts'
import { claimOrder, orderBy } from '../../../src/persistence/sql/claim-order.ts'
import { isHeld, isParked, isReady, isTimed } from '../../../src/persistence/sql/conditions.ts'
import { stateHasTag } from '../../../src/persistence/sql/transitions.ts'
import {
  isMark,
  isResultList,
  offsetAt,
  placeIn,
  withJobsOf,
  withoutGone,
} from '../../../src/persistence/sqlite/schema.ts'
import { earlierMax } from '../../../src/persistence/versions.ts'
import { bare, endsOf, ofSuccess, stateIsOneOf, updateIs } from '../law.ts'
import { newJobsView } from './new-jobs-view.ts'
import { schedulesSchema } from './schedules-schema.ts'

/**
 * The newest schema, made at once, with all that the machine and the conditions of the store's statements decide of it. The migrations must
 * lead to the same; where they do not, this is what the next one has to bring about.
 */
export const newestSchema = `
  CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    queue TEXT NOT NULL,
    state TEXT NOT NULL CHECK (${stateIsOneOf(jobStates)}),
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
    CHECK (seq > 1 OR ${stateIsOneOf([...new Set(edgesOn('enqueue').map(({ to }) => to))])}),
    CHECK ((lease_token IS NOT NULL) = ${bare(stateHasTag('held'))}),
    CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL)),
    CHECK ((finished_at IS NOT NULL) = ${bare(stateHasTag('ended'))}),
    CHECK ((idempotency_key IS NULL) = (content IS NULL))
  );
  CREATE INDEX jobs_ready ON jobs (queue, ${orderBy(claimOrder)}) WHERE ${bare(isReady)};
  CREATE INDEX jobs_parked ON jobs (parked, type, id) WHERE ${bare(isParked)};
  CREATE INDEX jobs_timed ON jobs (run_at, id) WHERE ${bare(isTimed)};
  CREATE INDEX jobs_held ON jobs (lease_expires_at) WHERE ${bare(isHeld)};
  CREATE UNIQUE INDEX jobs_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;

  CREATE TABLE job_payloads (
    job_id INTEGER PRIMARY KEY,
    payload TEXT NOT NULL
  );

  CREATE TABLE job_versions (
    job_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    priority INTEGER,
    max_attempts INTEGER,
    payload TEXT,
    PRIMARY KEY (job_id, seq),
    CHECK (priority IS NOT NULL OR max_attempts IS NOT NULL OR payload IS NOT NULL)
  );

  CREATE INDEX job_versions_kept ON job_versions (job_id, seq) WHERE payload <> '';

  CREATE TRIGGER job_versions_are_final BEFORE UPDATE ON job_versions
  WHEN NOT (NEW.job_id = OLD.job_id AND NEW.seq = OLD.seq AND NEW.rowid = OLD.rowid
    AND NEW.priority IS OLD.priority AND NEW.max_attempts IS OLD.max_attempts AND NEW.payload IS '' AND OLD.payload <> ''
    AND EXISTS (SELECT 1 FROM job_versions WHERE job_id = OLD.job_id AND seq < OLD.seq AND payload <> '')
    AND (SELECT count(*) > ${earlierMax.payloads} OR sum(length(CAST(payload AS BLOB))) > ${earlierMax.bytes} OR min(payload) = ''
      FROM job_versions WHERE job_id = OLD.job_id AND seq >= OLD.seq AND payload IS NOT NULL))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: history is not rewritten; only payloads beyond what is kept of a job may go');
  END;

  CREATE TRIGGER job_versions_stay BEFORE DELETE ON job_versions
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: an earlier payload goes only after its job');
  END;

  CREATE TABLE job_traces (
    job_id INTEGER PRIMARY KEY,
    traceparent TEXT CHECK (length(traceparent) = 55),
    tracestate TEXT CHECK (length(tracestate) <= 512),
    last_attempt TEXT CHECK (length(last_attempt) = 55)
  );

  CREATE TABLE job_progress (
    job_id INTEGER PRIMARY KEY,
    value TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL
  );
  CREATE INDEX job_progress_at ON job_progress (at);

  CREATE TABLE job_logs (
    job_id INTEGER NOT NULL,
    n INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    fields TEXT,
    PRIMARY KEY (job_id, n)
  ) WITHOUT ROWID;

  CREATE TABLE job_results (
    job_id INTEGER PRIMARY KEY,
    result TEXT NOT NULL,
    length INTEGER NOT NULL DEFAULT 1 CHECK (length >= 1)
  );

  CREATE TABLE event_runs (
    id INTEGER PRIMARY KEY,
    first_job_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    error TEXT,
    previous_id INTEGER,
    length INTEGER NOT NULL DEFAULT 1,
    cause TEXT,
    job_offsets TEXT CHECK (job_offsets IS NULL OR json_array_length(job_offsets) = length),
    previous_offsets TEXT CHECK (previous_offsets IS NULL OR json_array_length(previous_offsets) = length)
  );
  CREATE INDEX job_events_marks ON event_runs (first_job_id, seq) WHERE ${isMark};

  CREATE TABLE key_replays (
    job_id INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    last_at INTEGER NOT NULL
  );

  -- place 1: it holds the key; null: it did. until 'time': it holds it up to frees_at.
  CREATE TABLE unique_jobs (
    job_id INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    unique_key TEXT NOT NULL,
    until TEXT NOT NULL CHECK (until = 'started' OR until = 'ended' OR until = 'time'),
    frees_at INTEGER CHECK ((frees_at IS NOT NULL) = (until = 'time')),
    place INTEGER CHECK (place = 1 OR place = 2)
  );
  CREATE UNIQUE INDEX unique_jobs_place ON unique_jobs (type, unique_key, place) WHERE place IS NOT NULL;

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

  CREATE TRIGGER jobs_take_edges AFTER UPDATE OF id, rowid, oid, _rowid_, state, seq ON jobs
  WHEN NOT (NEW.id = OLD.id AND (
    (NEW.seq = OLD.seq + 1 AND (${updateIs(edges.filter(({ from }) => from !== 'new'))})
      AND (NEW.state <> OLD.state OR (SELECT event = 'amend' AND seq = NEW.seq FROM event_runs WHERE id = NEW.last_event_id) IS TRUE))
    OR (NEW.seq = OLD.seq + ${claim.length} AND (${updateIs(endsOf(claim))}))))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: no edge of the job machine; a state changes by one edge, or by those of a claim, and raises seq by one for each');
  END;

  -- A row that was made up names no event, and a copied one an older event or that of another job.
  CREATE TRIGGER jobs_have_events AFTER INSERT ON jobs
  WHEN (SELECT NEW.id >= first_job_id AND NEW.id < first_job_id + length AND NEW.last_event_id - NEW.id = id - first_job_id AND job_offsets IS NULL
    FROM event_runs ORDER BY id DESC LIMIT 1) IS NOT TRUE
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a job is stored with its history; use INSERT INTO new_jobs (type, payload), which writes both');
  END;

  CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs
  WHEN NOT (${stateHasTag('expendable', 'OLD.state')}
    OR (${stateHasTag('ended', 'OLD.state')} AND EXISTS (SELECT 1 FROM meta WHERE name = 'removable')))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: only succeeded and cancelled jobs may be removed, and dead ones by their retention');
  END;

  CREATE TRIGGER event_runs_are_final BEFORE UPDATE ON event_runs
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: history is not rewritten');
  END;

  CREATE TRIGGER event_runs_stay BEFORE DELETE ON event_runs
  WHEN EXISTS (SELECT 1 FROM (SELECT 1) ${withJobsOf('OLD')})
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: the history of a job goes only after its job');
  END;

  CREATE TRIGGER job_traces_are_final BEFORE UPDATE OF job_id, rowid, oid, _rowid_, traceparent, tracestate ON job_traces
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: where a job came from is not rewritten');
  END;

  CREATE TRIGGER job_traces_stay BEFORE DELETE ON job_traces
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: the trace of a job goes only after its job');
  END;

  CREATE TRIGGER job_results_are_of_success BEFORE INSERT ON job_results
  WHEN (SELECT count(*) FROM jobs WHERE jobs.id BETWEEN NEW.job_id AND NEW.job_id + NEW.length - 1 AND ${stateIsOneOf(ofSuccess, 'jobs.state')}) IS NOT NEW.length
    OR (SELECT job_id + length FROM job_results WHERE job_id < NEW.job_id + NEW.length ORDER BY job_id DESC LIMIT 1) > NEW.job_id
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: only a job that has succeeded has a result, and only one');
  END;

  CREATE TRIGGER job_results_are_final BEFORE UPDATE ON job_results
  WHEN NOT (NEW.job_id = OLD.job_id AND NEW.rowid = OLD.rowid AND NEW.length = OLD.length
    AND ${isResultList('OLD')}
    AND NEW.result IS ${withoutGone('OLD')})
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a result is not rewritten; only those of jobs that are gone may become null');
  END;

  CREATE TRIGGER job_results_stay BEFORE DELETE ON job_results
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id BETWEEN OLD.job_id AND OLD.job_id + OLD.length - 1)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a result goes only after its job');
  END;

  CREATE TRIGGER job_payloads_are_final BEFORE UPDATE ON job_payloads
  WHEN NOT (NEW.job_id = OLD.job_id
    AND EXISTS (SELECT 1 FROM job_versions WHERE job_versions.job_id = OLD.job_id AND job_versions.payload = OLD.payload))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a payload is not rewritten before it is kept in job_versions');
  END;

  CREATE TRIGGER job_payloads_stay BEFORE DELETE ON job_payloads
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a payload goes only after its job');
  END;

  CREATE VIEW job_events AS
    SELECT id + place AS id, job_id, seq, event, from_state, to_state, attempt, at, error,
      previous_id + ${offsetAt('previous_offsets', 'place')} AS previous_id, cause
    FROM (SELECT event_runs.*, jobs.id AS job_id, ${placeIn('event_runs')} AS place
      FROM event_runs ${withJobsOf('event_runs')});
${newJobsView}
${schedulesSchema}`
