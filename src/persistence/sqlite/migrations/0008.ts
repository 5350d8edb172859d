/** How often an idempotency key was answered with the job that has it, by any process: its job's page says so. */
export const sql = `
  CREATE TABLE key_replays (
    job_id INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    last_at INTEGER NOT NULL
  );
  `
