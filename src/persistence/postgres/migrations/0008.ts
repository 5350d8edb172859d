/** What a job was before it was changed. A payload may be replaced once it is kept. */
export const sql = `
  -- What a job was until its transition seq changed it; null: that did not change.
  CREATE TABLE job_versions (
    job_id bigint NOT NULL,
    seq integer NOT NULL,
    priority integer,
    max_attempts integer,
    payload text,
    CONSTRAINT job_versions_seq PRIMARY KEY (job_id, seq),
    CONSTRAINT job_versions_content CHECK (priority IS NOT NULL OR max_attempts IS NOT NULL OR payload IS NOT NULL)
  );

  CREATE TRIGGER job_versions_are_final BEFORE UPDATE ON job_versions FOR EACH ROW
  EXECUTE FUNCTION refuse('history is not rewritten');
  CREATE TRIGGER job_versions_stay BEFORE DELETE ON job_versions FOR EACH ROW
  EXECUTE FUNCTION refuse_while_job_stays('an earlier payload goes only after its job');
  CREATE TRIGGER job_versions_are_not_emptied BEFORE TRUNCATE ON job_versions FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('an earlier payload goes only after its job');

  CREATE FUNCTION refuse_unless_kept() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
  BEGIN
    IF NEW.job_id <> OLD.job_id OR NOT EXISTS (
      SELECT 1 FROM job_versions WHERE job_versions.job_id = OLD.job_id AND job_versions.payload = OLD.payload
    ) THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
    END IF;
    RETURN NEW;
  END
  $$;

  DROP TRIGGER job_payloads_are_final ON job_payloads;
  CREATE TRIGGER job_payloads_are_final BEFORE UPDATE ON job_payloads FOR EACH ROW
  EXECUTE FUNCTION refuse_unless_kept('a payload is not rewritten before it is kept in job_versions');

  DROP TRIGGER jobs_take_edges ON jobs;
  CREATE TRIGGER jobs_take_edges AFTER UPDATE OF id, state, seq ON jobs FOR EACH ROW
  WHEN (NOT (NEW.id = OLD.id AND (
    (NEW.seq = OLD.seq + 1 AND ((OLD.state = 'scheduled' AND (NEW.state = 'queued' OR NEW.state = 'cancelled' OR NEW.state = 'scheduled')) OR (OLD.state = 'queued' AND (NEW.state = 'cancelled' OR NEW.state = 'scheduled' OR NEW.state = 'queued' OR NEW.state = 'leased')) OR (OLD.state = 'leased' AND (NEW.state = 'cancelled' OR NEW.state = 'running' OR NEW.state = 'queued')) OR (OLD.state = 'running' AND (NEW.state = 'cancelled' OR NEW.state = 'queued' OR NEW.state = 'retrying' OR NEW.state = 'dead' OR NEW.state = 'succeeded' OR NEW.state = 'scheduled')) OR (OLD.state = 'retrying' AND (NEW.state = 'queued' OR NEW.state = 'cancelled' OR NEW.state = 'retrying')) OR (OLD.state = 'dead' AND (NEW.state = 'cancelled' OR NEW.state = 'queued')) OR (OLD.state = 'cancelled' AND (NEW.state = 'queued'))))
    OR (NEW.seq = OLD.seq + 2 AND ((OLD.state = 'queued' AND (NEW.state = 'running')))))))
  EXECUTE FUNCTION refuse('no edge of the job machine; a state changes by one edge, or by those of a claim, and raises seq by one for each');
  `
