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

describe('what to do about', () => {
  test.each<[string, Given, RegExp]>([
    ['a job that may run', {}, /^Nothing: it runs as soon as it is claimed/],
    ['a job that is leased', { state: 'leased' }, /^Nothing: it runs/],
    [
      'a job that is delayed',
      { state: 'scheduled' },
      /^Nothing: it runs by itself at that time; .*cancel and then requeue it\.$/,
    ],
    [
      'a job whose delay is an instant',
      { state: 'scheduled', job: { runAt: now + now } },
      /^If 60 years is not what you meant, cancel it and enqueue it again: a delay is in ms/,
    ],
    [
      'a job that is tried again',
      { state: 'retrying' },
      /^Wait if the cause of the failure is temporary: .*Otherwise correct the cause first/,
    ],
    [
      'a job that is snoozed',
      { state: 'scheduled', events: ['enqueue', 'due', 'lease', 'start', 'snooze'] },
      /^Provide what its handler is waiting for, or wait: .* it continues forever if that never comes; in that case cancel it\.$/,
    ],
    [
      'a job that others go before',
      { jobFacts: { line: { ahead: { count: 3, more: false }, higher: none, queues: none } } },
      /^Wait: its turn will come/,
    ],
    [
      'a job that others go before by priority',
      { jobFacts: { line: { ahead: { count: 3, more: false }, higher: { count: 2, more: false }, queues: none } } },
      /enqueue it again with a priority above 0/,
    ],
    ['a job that waits for a worker', { server: { busy: 10 } }, /^Wait: it runs next .* raise WORKER_COUNT/],
    [
      'a job that waits for workers which never come free',
      { server: { busy: 1, slots: 1, holders: [ignores] } },
      /^Restart the server to free the workers, and correct the handler of report/,
    ],
    [
      'a job of a type that is misspelt',
      { job: { type: 'mial' }, server: { hasHandler: false } },
      /^If "mail" was meant, cancel it and enqueue it again with that type/,
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
    ['a running job', { state: 'running' }, /^Wait until it is done; to stop it, cancel it/],
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
      { state: 'running', attempt: null, server: { trouble: 'the disk that holds the database is full' } },
      /^Free space on the disk .*Do not restart the server before/,
    ],
    [
      'a job whose file is locked',
      { server: { trouble: 'another process holds a lock on the database' } },
      /^End the other program that holds a lock .*Nothing is lost/,
    ],
    ['a job of a broken file', { server: { trouble: 'disk I/O error' } }, /^Repair the storage as the message says/],
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
      /^Nothing, if its effect is there\. If its effect is missing, check what its handler does.*enqueue a new job/,
    ],
    ['a job that was cancelled', { state: 'cancelled' }, /^Requeue it if it is still wanted/],
    [
      'a job that was rejected',
      { state: 'dead' },
      /^Do not requeue it unchanged: its handler says that no retry helps/,
    ],
    [
      'a job whose payload was refused',
      dead('PayloadError'),
      /^Do not requeue it unchanged: its handler refuses the payload/,
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
    ['a job that took too long', dead('AttemptTimeoutError'), /^Find out what its handler waited for/],
    [
      'a job that took too long while the loop was blocked',
      dead('AttemptTimeoutError', new AttemptTimeoutError(1, 2_000).message),
      /^Find what blocked the event loop/,
    ],
    [
      'a job that ended the process',
      { state: 'dead', events: ['enqueue', ...crash, ...crash, ...crash, ...crash.slice(0, 3)] },
      /^Find out first why the process ended .*only then requeue it/,
    ],
  ])('%s', (_, given, advice) => {
    expect(adviceOf(given)).toMatch(advice)
    expect(adviceOf(given)).toMatch(/^[A-Z].*\.$/)
  })

  test('a cancelled job names who knows why, and the way back for all of a bulk action', () => {
    const { lastEvent } = someFacts({ state: 'cancelled' }).jobFacts
    const byAda = { ...lastEvent, bulk: 'b1', actor: 'ada' }

    expect(adviceOf({ state: 'cancelled', jobFacts: { lastEvent: byAda } })).toBe(
      'Requeue it if it is still wanted (ask ada, who stopped it): it then runs at once, with all its attempts. The same action stopped others; a bulk requeue brings all of them back.',
    )
  })

  test.each([
    ['a.example answered 200 to POST', undefined, /look for it where the answer came from/],
    ['b answered 200 to POST, after a redirect from a', undefined, /so that no redirect leads to another host/],
    ['the process did not run for 9.0 s meanwhile', undefined, /find what stopped the whole process/],
    ['the event loop stood still for 9.0 s meanwhile', undefined, /find the handler that blocks the event loop/],
    ['', { count: 2, lastAt: now }, /used its key again made no new job: use another key/],
  ])('a job that has succeeded and noted %o', (note, replays, advice) => {
    const { lastEvent } = someFacts({ state: 'succeeded' }).jobFacts

    expect(
      adviceOf({ state: 'succeeded', jobFacts: { lastEvent: { ...lastEvent, note }, ...(replays && { replays }) } }),
    ).toMatch(advice)
  })
})
