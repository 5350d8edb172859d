/** Jobs whose ids do not follow each other share event rows too. `json_valid`: a damaged list must not fail the reads of other rows. */
export const sql = `
  -- How far the n-th job, and its previous event, is from the first of its row; null if that is n.
  ALTER TABLE event_runs ADD COLUMN job_offsets TEXT CHECK (job_offsets IS NULL OR json_array_length(job_offsets) = length);
  ALTER TABLE event_runs ADD COLUMN previous_offsets TEXT CHECK (previous_offsets IS NULL OR json_array_length(previous_offsets) = length);

  DROP TRIGGER jobs_have_events;
  CREATE TRIGGER jobs_have_events AFTER INSERT ON jobs
  WHEN (SELECT NEW.id >= first_job_id AND NEW.id < first_job_id + length AND NEW.last_event_id - NEW.id = id - first_job_id AND job_offsets IS NULL
    FROM event_runs ORDER BY id DESC LIMIT 1) IS NOT TRUE
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a job is stored with its history; use INSERT INTO new_jobs (type, payload), which writes both');
  END;

  DROP TRIGGER event_runs_stay;
  CREATE TRIGGER event_runs_stay BEFORE DELETE ON event_runs
  WHEN EXISTS (SELECT 1 FROM (SELECT 1) LEFT JOIN json_each(iif(json_valid(OLD.job_offsets), OLD.job_offsets, NULL)) AS item
    CROSS JOIN jobs ON jobs.id BETWEEN OLD.first_job_id + coalesce(item.value, 0)
      AND OLD.first_job_id + coalesce(item.value, iif(OLD.job_offsets IS NULL, OLD.length - 1, -1)))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: the history of a job goes only after its job');
  END;

  DROP VIEW job_events;
  CREATE VIEW job_events AS
    SELECT id + place AS id, job_id, seq, event, from_state, to_state, attempt, at, error,
      previous_id + CASE WHEN previous_offsets IS NULL THEN place WHEN json_valid(previous_offsets) THEN previous_offsets ->> place END AS previous_id, cause
    FROM (SELECT event_runs.*, jobs.id AS job_id, coalesce(item.key, jobs.id - event_runs.first_job_id) AS place
      FROM event_runs LEFT JOIN json_each(iif(json_valid(event_runs.job_offsets), event_runs.job_offsets, NULL)) AS item
      CROSS JOIN jobs ON jobs.id BETWEEN event_runs.first_job_id + coalesce(item.value, 0)
        AND event_runs.first_job_id + coalesce(item.value, iif(event_runs.job_offsets IS NULL, event_runs.length - 1, -1)));
  `
