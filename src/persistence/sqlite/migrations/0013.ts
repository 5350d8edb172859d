/** What handlers returned: in a table of its own, for most jobs have no result, and a transition should not rewrite it. */
export const sql = `
  CREATE TABLE job_results (
    job_id INTEGER PRIMARY KEY,
    result TEXT NOT NULL
  );

  CREATE TRIGGER job_results_are_of_success BEFORE INSERT ON job_results
  WHEN NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = NEW.job_id AND (jobs.state = 'succeeded'))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: only a job that has succeeded has a result');
  END;

  CREATE TRIGGER job_results_are_final BEFORE UPDATE ON job_results
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a result is not rewritten');
  END;

  CREATE TRIGGER job_results_stay BEFORE DELETE ON job_results
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: a result goes only after its job');
  END;
  `
