/** What `verify` says of a row whose job is not there. */
interface Orphan {
  readonly invariant: 'I2' | 'I9'
  readonly message: string
}

/** The tables, in both stores, that have what belongs to one job, by its `job_id`; its history apart. A job takes its rows along when it is removed. */
export const jobTables: readonly (readonly [table: string, orphan: Orphan])[] = [
  ['job_payloads', { invariant: 'I2', message: 'there is a payload of this job, but no job' }],
  ['job_versions', { invariant: 'I2', message: 'there is an earlier payload of this job, but no job' }],
  ['job_traces', { invariant: 'I2', message: 'there is a trace of this job, but no job' }],
  ['job_progress', { invariant: 'I2', message: 'there is progress of this job, but no job' }],
  ['job_logs', { invariant: 'I2', message: 'there is a log of this job, but no job' }],
  ['job_results', { invariant: 'I2', message: 'there is a result of this job, but no job' }],
  ['unique_jobs', { invariant: 'I2', message: 'there is a unique key of this job, but no job' }],
  ['key_replays', { invariant: 'I9', message: 'its key was used again, but there is no job' }],
]
