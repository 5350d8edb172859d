import { bug, type Mutation } from './mutation.ts'

const conformance = (test: string) => ['persistence/sqlite-store.test.ts', `SQLite store a result ${test}`] as const
const onPostgres = (test: string) =>
  ['persistence/postgres-store.test.ts', `PostgreSQL store a result ${test}`] as const
const waits = (test: string) => ['engine/result-waiters.test.ts', `whoever waits for a job ${test}`] as const
const attempt = (test: string) => ['engine/dispatch/attempt.test.ts', test] as const
const shared = (test: string) => ['persistence/sqlite/results.test.ts', `jobs that succeed together ${test}`] as const
const law = (test: string) => ['persistence/sqlite/law.test.ts', `no manual statement can change ${test}`] as const
const verified = (test: string) => ['persistence/sqlite/verify.test.ts', `verify reports ${test}`] as const
const ofOneMore = 'results of a job that has succeeded are refused together with one of a job that has not'
const byHand = 'keep their results from being changed or removed by hand, except for those of jobs that are gone'
const ofOthers = 'have their results, and those beside them that have lost their leases have none'
const bounded = 'share rows of a bounded number of jobs, and of a bounded length'
const nothingLeft = 'leave nothing of the results of those that retention removed first'
const waiters = 'engine/result-waiters.js'
const kept = 'is kept with the success of its job, also after the node ended, and a job without one has none'
const exactly = 'is kept character by character, of any kind of value, and beside many others'
const ofTheRightLease = 'is that of the lease that succeeded, if one call has two of the same job'

export const resultBugs: readonly Mutation[] = [
  bug('a result is stored for an attempt whose lease was lost', conformance(ofTheRightLease), {
    file: 'persistence/sqlite/write/job-results.js',
    find: 'refused.map(({ id, leaseToken }) => resultKey(id, leaseToken))',
    replace: '[]',
  }),
  bug('a group commit drops the result of a job that it has twice', conformance(ofTheRightLease), {
    file: 'persistence/sqlite/write/job-results.js',
    text: 'WHERE key NOT IN (SELECT value FROM',
    replace: 'WHERE CAST(key AS INTEGER) NOT IN (SELECT CAST(value AS INTEGER) FROM',
  }),
  bug('results of attempts whose leases were lost are stored with those of others', shared(ofOthers), {
    file: 'persistence/sqlite/write/job-results.js',
    find: 'lost.length === 0',
    replace: 'true',
  }),
  bug('a lost lease takes the result of a neighbour along', shared(ofOthers), {
    file: 'persistence/sqlite/write/job-results.js',
    find: 'id - firstId',
    replace: 'id - firstId + 1',
  }),
  bug(
    'the file accepts results of which one is of a job that has not succeeded',
    ['persistence/sqlite/law.test.ts', ofOneMore],
    {
      file: 'persistence/sqlite/migrations/0019.js',
      sql: ') IS NOT NEW.length',
      replace: ') < 1',
    },
  ),
  bug('the file accepts two results of a job', law('a result of a job that has one'), {
    file: 'persistence/sqlite/migrations/0019.js',
    sql: 'ORDER BY job_id DESC LIMIT 1) > NEW.job_id',
    replace: 'ORDER BY job_id DESC LIMIT 1) IS 0',
  }),
  bug('the file lets any result be removed from beside others', shared(byHand), {
    file: 'persistence/sqlite/migrations/0019.js',
    sql: 'AND NEW.result IS (SELECT',
    replace: 'OR NEW.result IS (SELECT',
  }),
  bug('verify overlooks results of fewer jobs than they are for', verified('results of fewer jobs than they are for'), {
    file: 'persistence/sqlite/schema.js',
    text: 'THEN json_array_length(${row}.result) = ${row}.length END',
    replace: 'THEN true END',
  }),
  bug('jobs share rows of results without a bound', shared(bounded), {
    file: 'persistence/sqlite/thread/applied-events.js',
    find: 'length < listMax && text.length + result.length < listLengthMax',
    replace: 'true',
  }),
  bug('a row of results has the jobs of two leases', shared(ofOthers), {
    file: 'persistence/sqlite/thread/applied-events.js',
    find: 'list[2] === leaseToken',
    replace: 'true',
  }),
  bug('a row of results is of jobs with others between them', conformance(kept), {
    file: 'persistence/sqlite/thread/applied-events.js',
    find: 'list[0] + list[1] === id',
    replace: 'true',
  }),
  bug('a group commit reads the JSON of a result that is text', conformance(kept), {
    file: 'persistence/sqlite/thread/applied-events.js',
    find: 'isAsItIs ? result : JSON.stringify(result)',
    replace: 'result',
  }),
  bug('retention leaves results beside those of other jobs', shared(nothingLeft), {
    file: 'persistence/sqlite/write/retention.js',
    find: "table !== 'job_results'",
    replace: 'true',
  }),
  bug('a result is read as a value, not as its text', conformance(exactly), {
    file: 'persistence/sqlite/read/rows.js',
    text: 'result -> CAST',
    replace: 'result ->> CAST',
  }),
  bug('a result is taken from its row by the id of its job', conformance(exactly), {
    file: 'persistence/sqlite/read/rows.js',
    text: '${id} - job_id',
    replace: '${id}',
  }),
  bug('a result is stored before its success', conformance(kept), {
    file: 'persistence/sqlite/write/writer.js',
    text: 'const refused = [];',
    replace: 'const refused = [];\n        if (results)\n            this.#results.keep(results, refused);',
  }),
  bug('a group commit drops all results if one job has none', conformance(kept), {
    file: 'persistence/sqlite/thread/applied-events.js',
    find: '!events.some(({ result }) => result !== undefined)',
    replace: '!events.every(({ result }) => result !== undefined)',
  }),
  bug(
    'PostgreSQL stores a result for an attempt whose lease was lost',
    onPostgres('is not kept of an attempt whose lease was lost'),
    {
      file: 'persistence/postgres/functions.js',
      text: 'WHERE result IS NOT NULL AND id = ANY (_got)',
      replace: 'WHERE result IS NOT NULL',
    },
  ),
  bug('PostgreSQL stores the results of the first change for each', onPostgres(ofTheRightLease), {
    file: 'persistence/postgres/functions.js',
    text: 'unnest(_job_ids[_from:_until], _results[_from:_until])',
    replace: 'unnest(_job_ids[_from:_until], _results)',
  }),
  bug('retention leaves the result of a job', conformance('goes with its job'), {
    file: 'persistence/sqlite/write/retention.js',
    find: 'removal.run({ first, last })',
    replace: `removal.source.includes('job_results') || removal.run({ first, last })`,
  }),
  bug(
    'all results of a look are read at once',
    conformance('comes with others up to some megabytes, and the rest with the next call'),
    {
      file: 'persistence/sqlite/read/reader.js',
      find: 'if (length > endedLengthMax)',
      replace: 'if (false)',
    },
  ),
  bug('a waiter looks before it listens', waits('is not answered by a look that had begun before'), {
    file: waiters,
    find: 'cameAfter < look',
    replace: 'cameAfter <= look',
  }),
  bug(
    'what ends during a look is found only in turn',
    waits('is not missed by an end that comes while the job is looked at'),
    {
      file: waiters,
      text: 'if (this.#waiters.has(id))\n                this.#due.add(id)',
      replace: 'if (this.#waiters.has(id) && !this.#isLooking)\n                this.#due.add(id)',
    },
  ),
  bug(
    'a waiter without time is not looked at',
    waits('is looked at once even with no time to wait, and forgotten when that is over'),
    {
      file: waiters,
      find: 'this.#timedOut(id, waiter)',
      replace: 'waiter.onTimeout()',
    },
  ),
  bug('a waiter that has left is still looked for', waits('is forgotten when its signal fires, with the reason'), {
    file: waiters,
    find: 'this.#forget(id, waiter)',
    replace: 'undefined',
  }),
  bug(
    'a result that cannot be kept is tried again',
    attempt(
      'an attempt is rejected if what its handler returned cannot be kept, because a retry would return the same',
    ),
    {
      file: 'engine/dispatch/attempt.js',
      find: 'throw this.#isUnfit(error)',
      replace: 'throw error',
    },
  ),
  bug(
    'what a handler returns after it has completed its job is its result',
    attempt(
      'an attempt that completes its job in a transaction of its handler has the result that it gave to complete, and none of what it returns',
    ),
    { file: 'engine/dispatch/attempt.js', find: 'if (!this.#isCompleting)', replace: 'if (true)' },
  ),
]
