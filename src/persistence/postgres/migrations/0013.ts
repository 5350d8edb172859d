export const sql = `
  -- Of a job that is changed often, most earlier payloads go: '' stands for one. The first stays, and the newest within the bound.
  CREATE INDEX job_versions_kept ON job_versions (job_id, seq) WHERE payload <> '';

  CREATE FUNCTION refuse_unless_beyond() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
  BEGIN
    IF (NEW.job_id = OLD.job_id AND NEW.seq = OLD.seq
      AND NEW.priority IS NOT DISTINCT FROM OLD.priority AND NEW.max_attempts IS NOT DISTINCT FROM OLD.max_attempts
      AND NEW.payload = '' AND OLD.payload <> ''
      AND EXISTS (SELECT 1 FROM job_versions WHERE job_id = OLD.job_id AND seq < OLD.seq AND payload <> '')
      AND (SELECT count(*) > 100 OR sum(octet_length(payload)) > 1048576 OR bool_or(payload = '')
        FROM job_versions WHERE job_id = OLD.job_id AND seq >= OLD.seq AND payload IS NOT NULL)) IS NOT TRUE
    THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
    END IF;
    RETURN NEW;
  END
  $$;

  DROP TRIGGER job_versions_are_final ON job_versions;
  CREATE TRIGGER job_versions_are_final BEFORE UPDATE ON job_versions FOR EACH ROW
  EXECUTE FUNCTION refuse_unless_beyond('history is not rewritten; only payloads beyond what is kept of a job may go');
  `
