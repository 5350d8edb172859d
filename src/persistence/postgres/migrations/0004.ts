export const sql = `
  -- An attempt whose handler has completed it in a transaction of its own, until the end of that. taken_by: the function that then moves the job.
  CREATE TABLE completions (
    job_id bigint NOT NULL,
    lease_token integer NOT NULL,
    given bigint,
    cause text,
    taken_by text NOT NULL
  );
  CREATE INDEX completions_by_job ON completions (job_id);

  CREATE FUNCTION take_completion() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  BEGIN
    EXECUTE format('SELECT %I($1, $2, $3, $4)', NEW.taken_by) USING NEW.job_id, NEW.lease_token, NEW.given, NEW.cause;
    RETURN NULL;
  END
  $$;

  -- When the transaction commits: until then the job is locked for nobody.
  CREATE CONSTRAINT TRIGGER completions_are_taken AFTER INSERT ON completions DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION take_completion();
  `
