export const sql = `
  -- What a handler returned; most jobs have no result.
  CREATE TABLE job_results (
    job_id bigint PRIMARY KEY,
    result text NOT NULL
  );

  CREATE FUNCTION refuse_without_success() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
  BEGIN
    IF NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = NEW.job_id AND (jobs.state = 'succeeded')) THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
    END IF;
    RETURN NEW;
  END
  $$;

  CREATE TRIGGER job_results_are_of_success BEFORE INSERT ON job_results FOR EACH ROW
  EXECUTE FUNCTION refuse_without_success('only a job that has succeeded has a result');
  CREATE TRIGGER job_results_are_final BEFORE UPDATE ON job_results FOR EACH ROW
  EXECUTE FUNCTION refuse('a result is not rewritten');
  CREATE TRIGGER job_results_stay BEFORE DELETE ON job_results FOR EACH ROW
  EXECUTE FUNCTION refuse_while_job_stays('a result goes only after its job');
  CREATE TRIGGER job_results_are_not_emptied BEFORE TRUNCATE ON job_results FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('a result goes only after its job');

  -- The result of an attempt that completes with a transaction.
  ALTER TABLE completions ADD COLUMN result text;
  `
