import { describe, expect, test } from 'vitest'
import { AttemptTimeoutError } from '../../../src/errors.ts'
import type { EventType } from '../../../src/machines/job.ts'
import { explain } from '../../../src/observe/explain/explain.ts'
import type { WorkerHolder } from '../../../src/observe/explain/facts.ts'
import { type Given, now, someFacts } from '../../support/facts.ts'

const adviceOf = (given: Given) => explain(someFacts(given)).advice
const crash: readonly EventType[] = ['lease', 'start', 'expire', 'due']
const ignores: WorkerHolder = { jobId: 3, type: 'report', since: now - 60_000, until: null, abortedAt: now - 9_000 }
const none = { count: 0, more: false }
const dead = (name: string, message = 'it broke'): Given => {
  const { lastEvent } = someFacts({ state: 'dead' }).jobFacts
  const failed = { ...lastEvent, event: 'fail' as const, error: { name, message } }
  return { state: 'dead', jobFacts: { lastEvent: failed, lastFailure: failed } }
}

const refused = {
  ...someFacts({ state: 'dead' }).jobFacts.lastEvent,
  error: { name: 'PermanentError', message: 'the mail server refused the mail: all recipients were rejected' },
}

describe('what to do about', () => {
  test.each<[string, Given, RegExp]>([
    ['a job that may run', {}, /^Wait: it runs as soon as it is claimed/],
    ['a job that is leased', { state: 'leased' }, /^Wait: it runs/],
    [
      'a job that is delayed',
      { state: 'scheduled' },
      /^Wait: it runs by itself at that time\. To let it run now, edit it: set `run_at` to the present \(`runAt` in the library\)\.$/,
    ],
    [
      'a job whose delay is an instant',
      { state: 'scheduled', job: { runAt: now + now } },
      /^To run it now, edit it: set `run_at` to the present, or to the time that was meant .*it probably passed a date \(2030-01-01T10:00:12\.000Z, in 12 s\) as the delay, and must pass it as run_at\./,
    ],
    [
      'a job that is tried again',
      { state: 'retrying' },
      /^Wait if the cause of the failure is temporary: .*Otherwise correct the cause first/,
    ],
    [
      'a job that is snoozed',
      { state: 'scheduled', events: ['enqueue', 'due', 'lease', 'start', 'snooze'] },
      /^Provide what its handler waits for, or wait: .* If that will never come, cancel it/,
    ],
    [
      'a job that others go before',
      { jobFacts: { line: { ahead: { count: 3, more: false }, higher: none, highest: 0, queues: none } } },
      /^Wait: its turn will come/,
    ],
    [
      'a job that others go before by priority',
      {
        jobFacts: {
          line: { ahead: { count: 3, more: false }, higher: { count: 2, more: false }, highest: 5, queues: none },
        },
      },
      /edit it: give it a priority above 5\./,
    ],
    ['a job that waits for a worker', { server: { busy: 10 } }, /^Wait: it runs next .* raise WORKER_COUNT/],
    [
      'a job that waits for workers which never come free',
      { server: { busy: 1, slots: 1, holders: [ignores] } },
      /^Restart the server to free the workers\. Correct the handler of report as well, [^.]*\. Cancelling that job frees no worker/,
    ],
    [
      'a job of a type that is misspelt',
      { job: { type: 'mial' }, server: { hasHandler: false } },
      /^If "mail" was meant, correct the program that enqueues it; then cancel this job/,
    ],
    [
      'a job of a type that nobody runs',
      { server: { hasHandler: false, types: [] } },
      /^Start a server with a handler for "mail"/,
    ],
    ['a job that is being put back in line', { jobFacts: { isUnhandled: true } }, /^Wait: it is back in line/],
    [
      'a job that waits for a suspect',
      { jobFacts: { exclusive: { id: 3, crashes: 2, startedAt: now - 500, timeoutMs: null } } },
      /correct the handler that ends it: that of job 3/,
    ],
    [
      'a job that waits for suspects',
      { jobFacts: { suspectsAhead: { count: 1, more: false } } },
      /^Wait: it continues by itself/,
    ],
    [
      'a running job',
      { state: 'running' },
      /^Wait until it is done\. To stop it, cancel it, .*what it has done by then stays done/,
    ],
    [
      'a running job that ignores its signal',
      { state: 'running', attempt: { aborted: { at: now, reason: new AttemptTimeoutError(1) } } },
      /^Correct its handler so that it ends when its signal fires/,
    ],
    [
      'a running job of a server that stops',
      { state: 'running', server: { phase: 'draining' } },
      /the next server runs it again/,
    ],
    ['a job whose outcome is on its way', { state: 'running', attempt: null }, /^Wait: its outcome is stored/],
    [
      'a job whose outcome cannot be stored',
      {
        state: 'running',
        attempt: null,
        server: { trouble: { message: 'the disk that holds the database is full', cause: 'full' } },
      },
      /^Free space on the disk .*Do not restart the server before/,
    ],
    [
      'a job whose file is locked',
      { server: { trouble: { message: 'another process holds a lock on the database', cause: 'locked' } } },
      /^End the other program that holds a lock .*`fuser \/data\/jobs\.db` names it, besides this server, which must go on\. Nothing is lost/,
    ],
    [
      'a job of a broken file',
      { server: { trouble: { message: 'disk I/O error', cause: null } } },
      /^Repair the storage of the database \/data\/jobs\.db as the message says/,
    ],
    [
      'a job of a broken file whose message speaks of a lock and of a full disk',
      { server: { trouble: { message: '/data/full/lock.db: disk I/O error', cause: null } } },
      /^Repair the storage of the database/,
    ],
    [
      'a job of a database server that does not answer',
      { server: { trouble: { message: 'connect ECONNREFUSED', cause: null }, file: null } },
      /^Make the database server reachable and writable again; the message says what fails\. Nothing is lost/,
    ],
    [
      'a job of a server that has not started',
      { server: { phase: 'created', hasRecovered: false } },
      /^Start this server/,
    ],
    [
      'a job of a server that recovers',
      { server: { phase: 'recovering', hasRecovered: false } },
      /^Wait until the recovery/,
    ],
    ['a job of a server that stops', { server: { phase: 'draining' } }, /^Start a server again/],
    [
      'a job of a server that has failed',
      { server: { phase: 'failed' } },
      /^Start a server on the file again; .*its log/,
    ],
    [
      'a job whose holder is gone',
      { state: 'running', server: { phase: 'created', hasRecovered: false, attempts: [] } },
      /^Start a server on the file: its recovery/,
    ],
    ['a job, to a producer', { server: null }, /^Ask the process that serves the file/],
    [
      'an overdue job, to a producer',
      { state: 'scheduled', server: null, job: { runAt: now - 60_000 } },
      /^Start its server again/,
    ],
    [
      'a job that has succeeded',
      { state: 'succeeded' },
      /^Nothing: it has succeeded\. If its effect is missing, check what its handler does and logs; then enqueue a new job: one that has succeeded cannot be requeued\.$/,
    ],
    ['a job that was cancelled', { state: 'cancelled' }, /^Requeue it if it is still wanted/],
    [
      'a job that was rejected',
      { state: 'dead' },
      /^Do not requeue it as it is: if its payload is wrong, edit and requeue it with a correct one\./,
    ],
    [
      'a job whose payload was refused',
      dead('PayloadError'),
      /^Edit and requeue it with a payload that the handler accepts, and correct the program that enqueues it\. A requeue without changes does not help/,
    ],
    [
      'a job of a type that was unknown',
      dead('UnknownTypeError'),
      /^Start a server with a handler for its type, then requeue it/,
    ],
    [
      'a job that failed too often',
      dead('TypeError'),
      /^Correct the cause of the failure first, then requeue it: it starts over with 4 attempts/,
    ],
    [
      'a job that took too long',
      dead('AttemptTimeoutError'),
      /^Find out what its handler waited for.*a requeue may repeat it/,
    ],
    [
      'a job that took too long while the loop was blocked',
      dead('AttemptTimeoutError', new AttemptTimeoutError(1, 2_000).message),
      /^Check first whether its effect has happened; if not, requeue it\. Then find the handler that blocked the event loop/,
    ],
    [
      'a job that ended the process',
      { state: 'dead', events: ['enqueue', ...crash, ...crash, ...crash, ...crash.slice(0, 3)] },
      /^Find out first why the process ended .*Requeue it only then/,
    ],
  ])('%s', (_, given, advice) => {
    expect(adviceOf(given)).toMatch(advice)
    expect(adviceOf(given)).toMatch(/^[A-Z].*\.$/)
  })

  test('a cancelled job names who knows why, and the way back for all of a bulk action', () => {
    const { lastEvent } = someFacts({ state: 'cancelled' }).jobFacts
    const byAda = { ...lastEvent, bulk: 'b1', actor: 'ada' }

    expect(adviceOf({ state: 'cancelled', jobFacts: { lastEvent: byAda } })).toBe(
      'First ask ada, who stopped it. Requeue it if it is still wanted: it runs at once, with the same payload and all its attempts. The same bulk action stopped others; a bulk requeue brings them back in the same way.',
    )
  })

  test('a cancelled job has the consequences of a requeue', () => {
    const { lastEvent } = someFacts({ state: 'cancelled' }).jobFacts
    const later = { ...lastEvent, bulk: 'b1', actor: 'ada', reason: 'wrong template' }
    const given = { job: { runAt: now + 3_600_000 }, jobFacts: { lastEvent: later }, server: { bulk: { moved: 3 } } }

    expect(adviceOf({ state: 'cancelled', ...given })).toBe(
      'First ask ada, who stopped it, whether the reason ("wrong template") still holds. If it is still wanted, edit and requeue it for its time (in 1 h, at 2030-01-01T11:00:00.000Z). A plain requeue runs it at once, with the same payload. The same bulk action stopped 2 other jobs; a bulk requeue brings them back in the same way.',
    )
    for (const moved of [0, 1])
      expect(adviceOf({ state: 'cancelled', ...given, server: { bulk: { moved } } })).not.toContain('bulk action')
    const running: readonly EventType[] = ['enqueue', 'lease', 'start', 'cancel']
    expect(adviceOf({ state: 'cancelled', events: running })).toBe(
      'Requeue it if it is still wanted: it runs at once, with the same payload and all its attempts. Its handler was running when it was stopped: check first whether its effect has happened, because a requeue may repeat it.',
    )
  })

  test('a restart that frees workers says what it does to the jobs that still run', () => {
    const runs: WorkerHolder = { jobId: 4, type: 'sync', since: now - 60_000, until: now + 60_000, abortedAt: null }
    const restart = (holders: readonly WorkerHolder[]) =>
      adviceOf({ server: { busy: holders.length, slots: holders.length, holders } })

    expect(restart([ignores])).not.toContain('A restart interrupts')
    expect(restart([ignores, runs])).toContain(
      'A restart interrupts the other job that runs: it runs again, and may repeat what was done.',
    )
    expect(restart([ignores, runs, runs])).toContain(
      'A restart interrupts the other 2 jobs that run: they run again, and may repeat what was done.',
    )
  })

  test('a job behind one that holds the only worker for long looks at that one first', () => {
    const hung: WorkerHolder = { jobId: 4, type: 'sync', since: now - 90_000, until: now + 60_000, abortedAt: null }
    const server = { busy: 1, slots: 1, holders: [hung] }

    expect(adviceOf({ server })).toBe(
      'Look at job 4 first: it may be hung. Cancelling it frees the worker if its handler heeds its signal; otherwise it is told to stop in 1 min.',
    )
    expect(adviceOf({ server: { ...server, holders: [{ ...hung, since: now - 9_000 }] } })).toMatch(
      /^Wait: it runs next/,
    )
  })

  test('a job that no further attempt helps has a new recipient, if the old one was refused', () => {
    expect(adviceOf({ ...dead('PermanentError'), jobFacts: { lastEvent: refused } })).toMatch(
      /^Do not requeue it as it is: find the recipient's right address, then edit and requeue it\./,
    )
  })

  test('a new job needs another key only if this one has a key', () => {
    expect(adviceOf({ state: 'succeeded' })).not.toContain('key')
    expect(adviceOf({ state: 'succeeded', job: { idempotencyKey: 'k' } })).toContain('with another idempotency key')
  })

  test.each([
    ['a.example answered 200 to POST', undefined, /look for it where the answer came from/],
    [
      'b answered 200 to POST, after a redirect from a',
      undefined,
      /^Correct the address: .*so that no redirect leads to another host/,
    ],
    ['3 of 4 redirects from the table were read; one did not run for now', undefined, /^Nothing: it has succeeded/],
    [
      'half is done; the process did not run for 9.0 s meanwhile, which does not count against its timeout',
      undefined,
      /^Find out what stopped the whole process/,
    ],
    [
      'the event loop stood still for 9.0 s meanwhile: this or another handler blocked it, or the process did not run',
      undefined,
      /^Find the handler that blocks the event loop/,
    ],
    ['', { count: 2, lastAt: now }, /^Have the caller use another key for each new job/],
  ])('a job that has succeeded and noted %o', (note, replays, advice) => {
    const { lastEvent } = someFacts({ state: 'succeeded' }).jobFacts

    expect(
      adviceOf({ state: 'succeeded', jobFacts: { lastEvent: { ...lastEvent, note }, ...(replays && { replays }) } }),
    ).toMatch(advice)
  })
})
