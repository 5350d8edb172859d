/** The trace that a job comes from, and the attempt before: in a table of their own, for most jobs have none, and no two the same. */
export const sql = `
  CREATE TABLE job_traces (
    job_id INTEGER PRIMARY KEY,
    traceparent TEXT CHECK (length(traceparent) = 55),
    tracestate TEXT CHECK (length(tracestate) <= 512),
    last_attempt TEXT CHECK (length(last_attempt) = 55)
  );

  CREATE TRIGGER job_traces_are_final BEFORE UPDATE OF job_id, rowid, oid, _rowid_, traceparent, tracestate ON job_traces
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: where a job came from is not rewritten');
  END;

  CREATE TRIGGER job_traces_stay BEFORE DELETE ON job_traces
  WHEN EXISTS (SELECT 1 FROM jobs WHERE jobs.id = OLD.job_id)
  BEGIN
    SELECT RAISE(ABORT, 'jobmachine: the trace of a job goes only after its job');
  END;
  `
