/** Results of jobs with consecutive ids share a row. `length` is 1 in the rows that are there: none is rewritten. */
export const sql = `
  -- With a length above 1 the row is of so many jobs from job_id on: result is a JSON array. Null in it, of a job that is gone: removed.
  ALTER TABLE job_results ADD COLUMN length INTEGER NOT NULL DEFAULT 1 CHECK (length >= 1);

  DROP TRIGGER job_results_are_of_success;
  CREATE TRIGGER job_results_are_of_success BEFORE INSERT ON job_results
  WHEN (SELECT count(*) FROM jobs WHERE jobs.id BETWEEN NEW.job_id AND NEW.job_id + NEW.length - 1 AND (jobs.state = 'succeeded')) IS NOT NEW.length
    OR (SELECT job_id + length FROM job_results WHERE job_id < NEW.job_id + NEW.length ORDER BY job_id DESC LIMIT 1) > NEW.job_id
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: only a job that has succeeded has a result, and only one');
  END;

  DROP TRIGGER job_results_are_final;
  CREATE TRIGGER job_results_are_final BEFORE UPDATE ON job_results
  WHEN NOT (NEW.job_id = OLD.job_id AND NEW.rowid = OLD.rowid AND NEW.length = OLD.length
    AND OLD.length > 1 AND CASE WHEN json_valid(OLD.result) THEN json_array_length(OLD.result) = OLD.length END IS TRUE
    AND NEW.result IS (SELECT '[' || group_concat(iif(EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id + item.key), OLD.result -> item.key, 'null')) || ']'
      FROM json_each(OLD.result) AS item))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a result is not rewritten; only those of jobs that are gone may become null');
  END;

  DROP TRIGGER job_results_stay;
  CREATE TRIGGER job_results_stay BEFORE DELETE ON job_results
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id BETWEEN OLD.job_id AND OLD.job_id + OLD.length - 1)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a result goes only after its job');
  END;
  `
