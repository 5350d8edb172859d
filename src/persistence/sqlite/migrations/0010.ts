/** What handlers report while they run: in tables of their own, for most jobs report nothing. bytes: of the line and of all before it. */
export const sql = `
  CREATE TABLE job_progress (
    job_id INTEGER PRIMARY KEY,
    value TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL
  );
  CREATE INDEX job_progress_at ON job_progress (at);

  CREATE TABLE job_logs (
    job_id INTEGER NOT NULL,
    n INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    fields TEXT,
    PRIMARY KEY (job_id, n)
  ) WITHOUT ROWID;
  `
