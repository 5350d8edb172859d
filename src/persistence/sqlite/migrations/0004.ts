/**
 * One row for an event of jobs with consecutive ids and the same past: jobs that are enqueued together are mostly claimed together, and end
 * together.
 */
export const sql = `
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
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id BETWEEN OLD.first_job_id AND OLD.first_job_id + OLD.length - 1)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: the history of a job goes only after its job');
  END;

  -- One row an event. CROSS, or SQLite goes through all events once for each job where one of their columns is asked for.
  CREATE VIEW job_events AS
    SELECT event_runs.id + jobs.id - first_job_id AS id, jobs.id AS job_id, event_runs.seq, event, from_state, to_state,
      event_runs.attempt, at, event_runs.error, previous_id + jobs.id - first_job_id AS previous_id
    FROM event_runs CROSS JOIN jobs ON jobs.id BETWEEN event_runs.first_job_id AND event_runs.first_job_id + event_runs.length - 1;
  `
