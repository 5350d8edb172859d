/**
 * What a job was until its transition `seq` changed it; null: that did not change. Most jobs are never changed. A payload may be replaced
 * once it is kept. The same request as that of a job that was changed since still gives that job.
 */
export const sql = `
  CREATE TABLE job_versions (
    job_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    priority INTEGER,
    max_attempts INTEGER,
    payload TEXT,
    PRIMARY KEY (job_id, seq),
    CHECK (priority IS NOT NULL OR max_attempts IS NOT NULL OR payload IS NOT NULL)
  );

  CREATE TRIGGER job_versions_are_final BEFORE UPDATE ON job_versions
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: history is not rewritten');
  END;

  CREATE TRIGGER job_versions_stay BEFORE DELETE ON job_versions
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: an earlier payload goes only after its job');
  END;

  DROP TRIGGER job_payloads_are_final;
  CREATE TRIGGER job_payloads_are_final BEFORE UPDATE ON job_payloads
  WHEN NOT (NEW.job_id = OLD.job_id
    AND EXISTS (SELECT 1 FROM job_versions WHERE job_versions.job_id = OLD.job_id AND job_versions.payload = OLD.payload))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a payload is not rewritten before it is kept in job_versions');
  END;

  DROP TRIGGER jobs_take_edges;
  CREATE TRIGGER jobs_take_edges AFTER UPDATE OF id, rowid, oid, _rowid_, state, seq ON jobs
  WHEN NOT (NEW.id = OLD.id AND (
    (NEW.seq = OLD.seq + 1 AND ((OLD.state = 'scheduled' AND (NEW.state = 'queued' OR NEW.state = 'cancelled' OR NEW.state = 'scheduled')) OR (OLD.state = 'queued' AND (NEW.state = 'cancelled' OR NEW.state = 'scheduled' OR NEW.state = 'queued' OR NEW.state = 'leased')) OR (OLD.state = 'leased' AND (NEW.state = 'cancelled' OR NEW.state = 'running' OR NEW.state = 'queued')) OR (OLD.state = 'running' AND (NEW.state = 'cancelled' OR NEW.state = 'queued' OR NEW.state = 'retrying' OR NEW.state = 'dead' OR NEW.state = 'succeeded' OR NEW.state = 'scheduled')) OR (OLD.state = 'retrying' AND (NEW.state = 'queued' OR NEW.state = 'cancelled' OR NEW.state = 'retrying')) OR (OLD.state = 'dead' AND (NEW.state = 'cancelled' OR NEW.state = 'queued')) OR (OLD.state = 'cancelled' AND (NEW.state = 'queued')))
      AND (NEW.state <> OLD.state OR (SELECT event = 'amend' AND seq = NEW.seq FROM event_runs WHERE id = NEW.last_event_id) IS TRUE))
    OR (NEW.seq = OLD.seq + 2 AND ((OLD.state = 'queued' AND (NEW.state = 'running'))))))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: no edge of the job machine; a state changes by one edge, or by those of a claim, and raises seq by one for each');
  END;

  DROP TRIGGER new_jobs_are_enqueued;
  CREATE TRIGGER new_jobs_are_enqueued INSTEAD OF INSERT ON new_jobs
  BEGIN
    SELECT CASE
      WHEN NEW.type IS NULL THEN RAISE(ABORT, 'jobmachine: type is required')
      WHEN NOT (typeof(NEW.type) = 'text' AND length(CAST(NEW.type AS BLOB)) = length(NEW.type) AND length(NEW.type) <= 64
      AND NEW.type GLOB '[A-Za-z0-9]*' AND NEW.type NOT GLOB '*[^A-Za-z0-9._:-]*') THEN RAISE(ABORT, 'jobmachine: type must be 1 to 64 letters, digits and . _ : - and begin with a letter or digit')
      WHEN NEW.payload IS NULL THEN RAISE(ABORT, 'jobmachine: payload is required; JSON null is the text ''null''')
      WHEN typeof(NEW.payload) <> 'text' OR instr(CAST(NEW.payload AS BLOB), x'00') > 0 OR NOT json_valid(NEW.payload) THEN RAISE(ABORT, 'jobmachine: payload must be JSON as text')
      WHEN length(CAST(json(NEW.payload) AS BLOB)) > 262144 THEN RAISE(ABORT, 'jobmachine: payload must have at most 262144 bytes as JSON')
      WHEN (SELECT count(*) FROM json_tree(NEW.payload)) > 10000 + 1 THEN RAISE(ABORT, 'jobmachine: payload must have at most 10000 members and elements')
      WHEN EXISTS (SELECT 1 FROM json_tree(NEW.payload) WHERE (type = 'integer' OR type = 'real') AND atom NOT BETWEEN -1.7976931348623157e+308 AND 1.7976931348623157e+308) THEN RAISE(ABORT, 'jobmachine: payload has a number that a double cannot hold')
      WHEN (WITH RECURSIVE nested (value, depth) AS (
        SELECT NEW.payload, iif(json_type(NEW.payload) = 'array' OR json_type(NEW.payload) = 'object', 1, 0) UNION ALL
        SELECT member.value, depth + 1 FROM nested, json_each(nested.value) AS member
        WHERE (member.type = 'array' OR member.type = 'object') AND depth BETWEEN 1 AND 64
      ) SELECT max(depth) FROM nested) > 64 THEN RAISE(ABORT, 'jobmachine: payload must be at most 64 levels deep')
      WHEN NEW.queue IS NOT NULL AND (NOT (typeof(NEW.queue) = 'text' AND length(CAST(NEW.queue AS BLOB)) = length(NEW.queue) AND length(NEW.queue) <= 64
      AND NEW.queue GLOB '[A-Za-z0-9]*' AND NEW.queue NOT GLOB '*[^A-Za-z0-9._:-]*')) THEN RAISE(ABORT, 'jobmachine: queue must be 1 to 64 letters, digits and . _ : - and begin with a letter or digit')
      WHEN NEW.priority IS NOT NULL AND (NOT (CAST(NEW.priority AS INTEGER) = NEW.priority AND CAST(NEW.priority AS INTEGER) BETWEEN -100 AND 100)) THEN RAISE(ABORT, 'jobmachine: priority must be a whole number from -100 to 100')
      WHEN NEW.max_retries IS NOT NULL AND (NOT (CAST(NEW.max_retries AS INTEGER) = NEW.max_retries AND CAST(NEW.max_retries AS INTEGER) BETWEEN 0 AND 1000)) THEN RAISE(ABORT, 'jobmachine: max_retries must be a whole number from 0 to 1000')
      WHEN NEW.idempotency_key IS NOT NULL AND (NOT (typeof(NEW.idempotency_key) = 'text' AND length(NEW.idempotency_key) BETWEEN 1 AND 255)
      OR NEW.idempotency_key GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*' OR instr(CAST(NEW.idempotency_key AS BLOB), x'00') > 0) THEN RAISE(ABORT, 'jobmachine: idempotency_key must be 1 to 255 printable characters')
      WHEN NEW.delay_ms IS NOT NULL AND (NOT (CAST(NEW.delay_ms AS INTEGER) = NEW.delay_ms AND CAST(NEW.delay_ms AS INTEGER) BETWEEN 0 AND 3155760000000)) THEN RAISE(ABORT, 'jobmachine: delay_ms must be a whole number from 0 to 3155760000000')
      WHEN NEW.delay_ms IS NOT NULL AND (NEW.run_at IS NOT NULL) THEN RAISE(ABORT, 'jobmachine: set either run_at or delay_ms, not both')
      WHEN NEW.timeout_ms IS NOT NULL AND (NOT (CAST(NEW.timeout_ms AS INTEGER) = NEW.timeout_ms AND CAST(NEW.timeout_ms AS INTEGER) BETWEEN 1 AND 86400000)) THEN RAISE(ABORT, 'jobmachine: timeout_ms must be a whole number from 1 to 86400000')
      WHEN NEW.run_at IS NOT NULL AND (NOT iif(NEW.run_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][T ][0-9][0-9]:[0-9][0-9]*'
        AND (NEW.run_at GLOB '*[Zz]' OR NEW.run_at GLOB '*[+-][0-9][0-9]:[0-9][0-9]'),
        julianday(NEW.run_at) IS NOT NULL AND date(substr(NEW.run_at, 1, 10), '+0 days') = substr(NEW.run_at, 1, 10),
        CAST(NEW.run_at AS INTEGER) = NEW.run_at AND abs(CAST(NEW.run_at AS INTEGER)) <= 253402300799999)) THEN RAISE(ABORT, 'jobmachine: run_at must be epoch ms, or RFC 3339 text with an offset, such as 2030-01-31T09:30:00Z, to the year 9999')
      WHEN NEW.actor IS NOT NULL AND (NOT (typeof(NEW.actor) = 'text' AND length(NEW.actor) BETWEEN 1 AND 255)
      OR NEW.actor GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || ']*' OR instr(CAST(NEW.actor AS BLOB), x'00') > 0) THEN RAISE(ABORT, 'jobmachine: actor must be 1 to 255 printable characters')
      WHEN NEW.reason IS NOT NULL AND (NOT (typeof(NEW.reason) = 'text' AND length(NEW.reason) BETWEEN 1 AND 1000) OR instr(CAST(NEW.reason AS BLOB), x'00') > 0) THEN RAISE(ABORT, 'jobmachine: reason must be 1 to 1000 characters')
    END;

    SELECT iif(type = NEW.type AND queue = coalesce(NEW.queue, 'default') AND coalesce((SELECT earlier.priority FROM job_versions AS earlier
        WHERE earlier.job_id = jobs.id AND earlier.priority IS NOT NULL ORDER BY earlier.seq LIMIT 1), priority) = coalesce(CAST(NEW.priority AS INTEGER), 0) AND coalesce((SELECT earlier.max_attempts FROM job_versions AS earlier
        WHERE earlier.job_id = jobs.id AND earlier.max_attempts IS NOT NULL ORDER BY earlier.seq LIMIT 1), max_attempts) = coalesce(CAST(NEW.max_retries AS INTEGER), 3) + 1
        AND timeout_ms IS CAST(NEW.timeout_ms AS INTEGER) AND coalesce((SELECT earlier.payload FROM job_versions AS earlier
        WHERE earlier.job_id = jobs.id AND earlier.payload IS NOT NULL ORDER BY earlier.seq LIMIT 1), payload) = json(NEW.payload) AND content = 'sql ' || coalesce(iif(NEW.run_at GLOB '????-*', CAST(round((julianday(NEW.run_at) - 2440587.5) * 86400000) AS INTEGER), CAST(NEW.run_at AS INTEGER)), '') || ' ' || coalesce(CAST(NEW.delay_ms AS INTEGER), ''),
      RAISE(IGNORE), RAISE(ABORT, 'jobmachine: idempotency_key was used before, with other content; send the same again, or use another key'))
    FROM jobs LEFT JOIN job_payloads ON job_id = id WHERE idempotency_key = NEW.idempotency_key;

    INSERT INTO event_runs (id, first_job_id, seq, event, to_state, attempt, at, cause)
    SELECT max(coalesce((SELECT id + length FROM event_runs ORDER BY id DESC LIMIT 1), 1),
        coalesce((SELECT json_extract(value, '$[#-1].firstTransition') FROM meta WHERE name = 'epochs'), 1)),
      -- SQLite writes sqlite_sequence when a statement ends: of several rows, the ones before are seen in jobs.
      max(coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'jobs'), 0), coalesce((SELECT max(id) FROM jobs), 0)) + 1,
      1, 'enqueue', CASE WHEN run_at > now THEN 'scheduled' WHEN NOT (run_at > now) THEN 'queued' END, 0, now,
      json_patch('{"cause":"sql"}', json_object('actor', NEW.actor, 'reason', NEW.reason))
    FROM (SELECT now, max(now, coalesce(iif(NEW.run_at GLOB '????-*', CAST(round((julianday(NEW.run_at) - 2440587.5) * 86400000) AS INTEGER), CAST(NEW.run_at AS INTEGER)), now + CAST(NEW.delay_ms AS INTEGER), now)) AS run_at FROM (SELECT CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) AS now));

    INSERT INTO jobs (id, type, queue, state, seq, priority, attempt, max_attempts, run_at, timeout_ms, created_at,
      idempotency_key, content, last_event_id)
    SELECT first_job_id, NEW.type, coalesce(NEW.queue, 'default'), to_state, 1, coalesce(CAST(NEW.priority AS INTEGER), 0), 0, coalesce(CAST(NEW.max_retries AS INTEGER), 3) + 1, max(at, coalesce(iif(NEW.run_at GLOB '????-*', CAST(round((julianday(NEW.run_at) - 2440587.5) * 86400000) AS INTEGER), CAST(NEW.run_at AS INTEGER)), at + CAST(NEW.delay_ms AS INTEGER), at)),
      CAST(NEW.timeout_ms AS INTEGER), at, NEW.idempotency_key, iif(NEW.idempotency_key IS NULL, NULL, 'sql ' || coalesce(iif(NEW.run_at GLOB '????-*', CAST(round((julianday(NEW.run_at) - 2440587.5) * 86400000) AS INTEGER), CAST(NEW.run_at AS INTEGER)), '') || ' ' || coalesce(CAST(NEW.delay_ms AS INTEGER), '')), id
    FROM event_runs WHERE id = (SELECT id FROM event_runs ORDER BY id DESC LIMIT 1);

    INSERT INTO job_payloads (job_id, payload)
    SELECT first_job_id, json(NEW.payload) FROM event_runs WHERE id = (SELECT id FROM event_runs ORDER BY id DESC LIMIT 1);

    INSERT INTO edge_counts (from_state, event, to_state, n)
    SELECT 'new', 'enqueue', to_state, 0 FROM event_runs WHERE id = (SELECT id FROM event_runs ORDER BY id DESC LIMIT 1)
      AND NOT EXISTS (SELECT 1 FROM edge_counts AS kept
        WHERE kept.from_state = 'new' AND kept.event = 'enqueue' AND kept.to_state = event_runs.to_state);
    UPDATE edge_counts SET n = n + 1
    WHERE from_state = 'new' AND event = 'enqueue' AND to_state = (SELECT to_state FROM event_runs WHERE id = (SELECT id FROM event_runs ORDER BY id DESC LIMIT 1));
  END;
  `
