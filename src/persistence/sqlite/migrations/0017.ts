/**
 * Of a job that is changed often, most earlier payloads go: '' in `job_versions` stands for one. The first stays, for a repeated request is
 * compared with it, and the newest within the bound. Once one has gone, all between it and the first may.
 */
export const sql = `
  CREATE INDEX job_versions_kept ON job_versions (job_id, seq) WHERE payload <> '';

  DROP TRIGGER job_versions_are_final;
  CREATE TRIGGER job_versions_are_final BEFORE UPDATE ON job_versions
  WHEN NOT (NEW.job_id = OLD.job_id AND NEW.seq = OLD.seq AND NEW.rowid = OLD.rowid
    AND NEW.priority IS OLD.priority AND NEW.max_attempts IS OLD.max_attempts AND NEW.payload IS '' AND OLD.payload <> ''
    AND EXISTS (SELECT 1 FROM job_versions WHERE job_id = OLD.job_id AND seq < OLD.seq AND payload <> '')
    AND (SELECT count(*) > 100 OR sum(length(CAST(payload AS BLOB))) > 1048576 OR min(payload) = ''
      FROM job_versions WHERE job_id = OLD.job_id AND seq >= OLD.seq AND payload IS NOT NULL))
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: history is not rewritten; only payloads beyond what is kept of a job may go');
  END;
  `
