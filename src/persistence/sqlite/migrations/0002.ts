/**
 * Each event points to the job's previous one, and the job to its newest. An index over (job_id, seq) was written in three places by each
 * commit, and took a sixth of the store's time.
 */
export const sql = `
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
  CREATE INDEX job_events_marks ON job_events (job_id, seq) WHERE seq % 100 = 0;

  CREATE TRIGGER job_events_are_final BEFORE UPDATE ON job_events
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: history is not rewritten');
  END;

  CREATE TRIGGER job_events_stay BEFORE DELETE ON job_events
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: the history of a job goes only after its job');
  END;
  `
