export const sql = `
  -- Jobs that made one transition together, as their events in one row: its n-th job has the id last_id - cardinality(job_ids) + n, and the n-th
  -- seq and attempt. Jobs that made one alone, or each with an error or cause of its own, have rows in single_events.
  CREATE TABLE event_runs (
    last_id bigint PRIMARY KEY,
    first_job_id bigint NOT NULL,
    last_job_id bigint NOT NULL,
    at bigint NOT NULL,
    event text COLLATE "C" NOT NULL,
    from_state text COLLATE "C",
    to_state text COLLATE "C" NOT NULL,
    cause text,
    job_ids bigint[] NOT NULL,
    seqs integer[] NOT NULL,
    attempts integer[] NOT NULL,
    CONSTRAINT event_runs_lengths CHECK (cardinality(seqs) = cardinality(job_ids) AND cardinality(attempts) = cardinality(job_ids)),
    -- So that those of one job are found among few.
    CONSTRAINT event_runs_span CHECK (last_job_id - first_job_id BETWEEN 0 AND 8191)
  );
  ALTER TABLE event_runs ALTER job_ids SET STORAGE EXTERNAL, ALTER seqs SET STORAGE EXTERNAL, ALTER attempts SET STORAGE EXTERNAL;
  CREATE INDEX event_runs_jobs ON event_runs (last_job_id);

  ALTER TABLE job_events RENAME TO single_events;

  -- One row a transition. A run goes with the last of its jobs, and shows those that are there.
  CREATE VIEW job_events AS
  SELECT id, job_id, at, seq, attempt, event, from_state, to_state, error, cause FROM single_events
  UNION ALL
  SELECT last_id - cardinality(job_ids) + n, item.job_id, at, item.seq, item.attempt, event, from_state, to_state, NULL, cause
  FROM event_runs CROSS JOIN unnest(job_ids, seqs, attempts) WITH ORDINALITY AS item (job_id, seq, attempt, n)
  WHERE EXISTS (SELECT 1 FROM jobs WHERE jobs.id = item.job_id);

  CREATE FUNCTION refuse_while_any_job_stays() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
  BEGIN
    IF EXISTS (SELECT 1 FROM jobs WHERE id = ANY (OLD.job_ids)) THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = 'jobmachine: ' || TG_ARGV[0];
    END IF;
    RETURN OLD;
  END
  $$;

  CREATE TRIGGER event_runs_are_final BEFORE UPDATE ON event_runs FOR EACH ROW
  EXECUTE FUNCTION refuse('history is not rewritten');
  CREATE TRIGGER event_runs_stay BEFORE DELETE ON event_runs FOR EACH ROW
  EXECUTE FUNCTION refuse_while_any_job_stays('the history of a job goes only after its job');
  CREATE TRIGGER event_runs_are_not_emptied BEFORE TRUNCATE ON event_runs FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('the history of a job goes only after its job');
  `
