export const sql = `
  -- The state blocked: a job that waits for another.
  ALTER TABLE jobs DROP CONSTRAINT jobs_state, ADD CONSTRAINT jobs_state CHECK ((state = 'blocked' OR state = 'scheduled' OR state = 'queued' OR state = 'leased' OR state = 'running' OR state = 'retrying' OR state = 'succeeded' OR state = 'dead' OR state = 'cancelled')) NOT VALID;
  ALTER TABLE jobs DROP CONSTRAINT jobs_first, ADD CONSTRAINT jobs_first CHECK (seq > 1 OR (state = 'blocked' OR state = 'scheduled' OR state = 'queued')) NOT VALID;
  ALTER TABLE jobs VALIDATE CONSTRAINT jobs_state;
  ALTER TABLE jobs VALIDATE CONSTRAINT jobs_first;
  DROP TRIGGER jobs_take_edges ON jobs;
  CREATE TRIGGER jobs_take_edges AFTER UPDATE OF id, state, seq ON jobs FOR EACH ROW
  WHEN (NOT (NEW.id = OLD.id AND (
    (NEW.seq = OLD.seq + 1 AND ((OLD.state = 'blocked' AND (NEW.state = 'scheduled' OR NEW.state = 'queued' OR NEW.state = 'cancelled' OR NEW.state = 'blocked')) OR (OLD.state = 'scheduled' AND (NEW.state = 'cancelled' OR NEW.state = 'scheduled' OR NEW.state = 'queued')) OR (OLD.state = 'queued' AND (NEW.state = 'cancelled' OR NEW.state = 'scheduled' OR NEW.state = 'queued' OR NEW.state = 'leased')) OR (OLD.state = 'leased' AND (NEW.state = 'cancelled' OR NEW.state = 'running' OR NEW.state = 'queued')) OR (OLD.state = 'running' AND (NEW.state = 'cancelled' OR NEW.state = 'queued' OR NEW.state = 'retrying' OR NEW.state = 'dead' OR NEW.state = 'succeeded' OR NEW.state = 'scheduled')) OR (OLD.state = 'retrying' AND (NEW.state = 'cancelled' OR NEW.state = 'retrying' OR NEW.state = 'queued')) OR (OLD.state = 'dead' AND (NEW.state = 'cancelled' OR NEW.state = 'queued')) OR (OLD.state = 'cancelled' AND (NEW.state = 'queued'))))
    OR (NEW.seq = OLD.seq + 2 AND ((OLD.state = 'queued' AND (NEW.state = 'running')))))))
  EXECUTE FUNCTION refuse('no edge of the job machine; a state changes by one edge, or by those of a claim, and raises seq by one for each');

  -- place 2: it waits for the holder. checked_by: the function that looks whether there still is one when the transaction that stores it commits.
  ALTER TABLE unique_jobs ADD COLUMN checked_by text;

  CREATE FUNCTION check_blocked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  BEGIN
    EXECUTE format('SELECT %I($1)', NEW.checked_by) USING NEW.job_id;
    RETURN NULL;
  END
  $$;

  CREATE CONSTRAINT TRIGGER unique_jobs_are_checked AFTER INSERT ON unique_jobs DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.checked_by IS NOT NULL) EXECUTE FUNCTION check_blocked();
  `
