export const sql = `
  -- What handlers report while they run; most jobs report nothing. bytes: of the line and of all before it.
  CREATE TABLE job_progress (
    job_id bigint PRIMARY KEY,
    at bigint NOT NULL,
    attempt integer NOT NULL,
    value text NOT NULL
  );
  CREATE INDEX job_progress_at ON job_progress (at);

  CREATE TABLE job_logs (
    job_id bigint NOT NULL,
    at bigint NOT NULL,
    bytes bigint NOT NULL,
    n integer NOT NULL,
    attempt integer NOT NULL,
    level text COLLATE "C" NOT NULL,
    message text NOT NULL,
    fields text,
    CONSTRAINT job_logs_n PRIMARY KEY (job_id, n)
  );
  `
