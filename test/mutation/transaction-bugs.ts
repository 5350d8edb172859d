import { bug, type Mutation } from './mutation.ts'

const functions = 'persistence/postgres/transaction/functions.js'
const attempt = 'engine/dispatch/attempt.js'
const completes = (test: string) =>
  ['persistence/postgres/complete.test.ts', `a handler that completes its job in its own transaction ${test}`] as const
const dead = (test: string) =>
  [
    'persistence/postgres/complete.test.ts',
    `an attempt whose node was declared dead while its handler runs ${test}`,
  ] as const
const open = (test: string) =>
  ['persistence/postgres/transactions.test.ts', `a transaction that stays open ${test}`] as const
const stores = (test: string) =>
  [
    'persistence/postgres/transactions.test.ts',
    `a job that is enqueued in a transaction of the caller ${test}`,
  ] as const

export const transactionBugs: readonly Mutation[] = [
  bug(
    'a commit completes a job whose lease is lost',
    dead('cannot commit what it has completed before, and another runs the job meanwhile'),
    { file: functions, text: "IF _moved IS NULL THEN ${raiseLost('_job')} END IF;", replace: '' },
  ),
  bug(
    'a node that was declared dead completes the jobs that nobody has taken yet',
    dead('cannot complete it in the moment before the job is taken'),
    { file: functions, text: ' AND nodes.ended_at IS NULL', replace: '' },
  ),
  bug(
    'a handler that never commits has succeeded',
    completes('has failed if it returns without a commit, and its transaction cannot be committed after that'),
    { file: attempt, text: 'this.#isCompleting ? this.#uncommitted() : ', replace: '' },
  ),
  bug(
    'a handler that throws after its commit has failed',
    completes('that throws after its commit has succeeded all the same, and the log says so'),
    { file: attempt, find: 'if (!isDone || this.#settled)', replace: 'if (true)' },
  ),
  bug(
    'transactions count in a row that they share',
    open('keeps no other from storing jobs, and no node from running them'),
    { file: functions, text: '_writer bigint := -_transaction;', replace: '_writer bigint := 0;' },
  ),
  bug(
    'a node waits for as long as a transaction with its key is open',
    open('makes who uses the key of its job elsewhere try again, and nobody else'),
    { file: 'persistence/postgres/connection.js', text: 'SET lock_timeout TO ${lockTimeoutMs}', replace: 'SELECT 1' },
  ),
  bug(
    'a call is answered with jobs that its transaction has not stored',
    stores('is refused, and nothing of its call is stored, if others use its keys again and again'),
    { file: 'persistence/postgres/transaction/transactions.js', text: 'toStored(answer);', replace: 'answer;' },
  ),
  bug(
    'a job that another has committed counts as one of the transaction',
    stores('is not that of another transaction that has used its key before'),
    { file: functions, text: ' AND single_events.id < _first_event + 4096', replace: '' },
  ),
  bug(
    'a transaction that is older than an attempt completes it',
    completes('is refused it too if the row of the job no longer says so'),
    { file: functions, text: ' AND id > _first_event', replace: ' AND false' },
  ),
]
