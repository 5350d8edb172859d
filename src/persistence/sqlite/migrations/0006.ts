/** Who caused an event, if its type does not say it: JSON, null in all earlier rows. */
export const sql = `
  ALTER TABLE event_runs ADD COLUMN cause TEXT;

  DROP VIEW job_events;
  CREATE VIEW job_events AS
    SELECT event_runs.id + jobs.id - first_job_id AS id, jobs.id AS job_id, event_runs.seq, event, from_state, to_state,
      event_runs.attempt, at, event_runs.error, previous_id + jobs.id - first_job_id AS previous_id, cause
    FROM event_runs CROSS JOIN jobs ON jobs.id BETWEEN event_runs.first_job_id AND event_runs.first_job_id + event_runs.length - 1;
  `
