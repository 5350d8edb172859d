import { describe, expect, test } from 'vitest'
import { transition } from 'xstate'
import { AttemptTimeoutError, JobCancelledError, ShutdownError } from '../../../src/errors.ts'
import { describeState, eventsFrom, jobStates } from '../../../src/machines/edges.ts'
import { type EventType, type JobEvent, type JobState, jobMachine } from '../../../src/machines/job.ts'
import { explain } from '../../../src/observe/explain/explain.ts'
import type { ServerFacts, WorkerHolder } from '../../../src/observe/explain/facts.ts'
import { ago, duration } from '../../../src/observe/explain/text.ts'
import type { HistoryEvent } from '../../../src/persistence/store.ts'
import { type Given, now, owner, someFacts } from '../../support/facts.ts'

const lineOf = (ahead: number, queues = 1, more = false) => ({
  ahead: { count: ahead, more },
  higher: { count: 0, more: false },
  highest: 0,
  queues: { count: queues, more: false },
})
const day = 86_400_000
/** A running attempt of another job; its timeout is a minute by default. */
const holder = (jobId: number, forMs = 60_000): WorkerHolder => {
  return { jobId, type: 'report', since: now - forMs, until: now - forMs + 300_000, abortedAt: null }
}
/** One that was told to stop. */
const ignores = (jobId: number): WorkerHolder => ({ ...holder(jobId), until: null, abortedAt: now - 9_000 })
const dead: Partial<ServerFacts> = { hasRecovered: false, attempts: [] }
const snoozed: readonly EventType[] = ['due', 'lease', 'start', 'snooze']
const crash: readonly EventType[] = ['lease', 'start', 'expire', 'due']
const crashed: readonly EventType[] = ['enqueue', ...crash, ...crash]
/** One after the first 1,000 events. */
const snooze: HistoryEvent = {
  seq: 1_001,
  event: 'snooze',
  from: 'running',
  to: 'scheduled',
  attempt: 0,
  at: now - 12_000,
  cause: 'handler',
  error: null,
}
const summaryOf = (given: Given) => explain(someFacts(given)).summary
const codesOf = (given: Given) => explain(someFacts(given)).obstacles.map(({ code }) => code)
const nextOf = (event: EventType, given: Given) => explain(someFacts(given)).next.find((next) => next.event === event)!

/** Facts for every state, and for everything that a server may be doing. */
const servers: [string, Given][] = [
  ['a server with free workers', {}],
  ['a server whose workers are busy', { server: { busy: 10 } }],
  ['a server that has not started', { server: { ...dead, phase: 'created' } }],
  ['a server that recovers', { server: { ...dead, phase: 'recovering' } }],
  ['a server that drains', { server: { phase: 'draining', abortsAt: now + 5_000 } }],
  ['a server that has failed', { server: { phase: 'failed' } }],
  [
    'a server in trouble',
    { server: { trouble: { message: 'the disk that holds the database is full', cause: 'full' } } },
  ],
  ['a server without a handler', { server: { hasHandler: false } }],
  ['a server that has the outcome in hand', { attempt: null }],
  ['a server that aborts', { attempt: { aborted: { at: now - 1_000, reason: new ShutdownError() } } }],
  ['a producer', { server: null }],
]
const everything = jobStates.flatMap((state) => servers.map(([who, given]) => [state, who, given] as const))

describe.each(everything)('a job that is %s, to %s', (state, _, given) => {
  test('has every event that the machine allows, each leading where the machine goes', () => {
    for (const maxAttempts of [1, 4]) {
      const facts = someFacts({ ...given, state, job: { maxAttempts: state === 'retrying' ? 4 : maxAttempts } })

      const { next } = explain(facts)

      expect(next.map(({ event }) => event)).toEqual(eventsFrom(state))
      const before = jobMachine.resolveState({ value: state, context: facts.jobFacts.job })
      for (const { event, to } of next) {
        const delayed = facts.jobFacts.job.runAt > facts.now
        const given = { type: event, crashed: true, delayed } as JobEvent
        expect([event, transition(jobMachine, before, given)[0].value]).toEqual([event, to])
      }
    }
  })

  test('has no way forward that is blocked, and names what blocks it', () => {
    const { next, obstacles, summary, because, meaning } = explain(someFacts({ ...given, state }))

    const told = obstacles.filter(({ code }) => code !== 'not_due' && code !== 'ended').map(({ message }) => message)

    for (const { possible, obstacles, sentence } of next) {
      expect(possible === true).toBe(obstacles.length === 0)
      const others = obstacles.filter(({ message }) => possible === null || !told.includes(message))
      for (const { message } of others) expect(sentence).toContain(message)
      expect(sentence.endsWith('as the summary says.')).toBe(obstacles.length > 0 && others.length === 0)
    }
    for (const text of [summary, because.sentence, ...next.map(({ sentence }) => sentence)]) {
      expect(text).toMatch(/^[A-Z].*\.$/)
      expect(text).not.toMatch(/undefined|null|NaN|\[object|\.\.|Invalid|[ ]{2}/)
    }
    for (const { message } of obstacles) expect(message).toMatch(/^[a-z0-9].*[^.]$/)
    expect(meaning).toBe(describeState(state))
  })

  test('gets an instant only if nothing but the clock blocks it, or it is running', () => {
    const { earliestRunAt, earliest, obstacles } = explain(someFacts({ ...given, state }))

    const codes = obstacles.map(({ code }) => code)
    const forGood = ['ended', 'no_handler', 'not_started', 'not_serving', 'draining', 'storage_trouble']
    const isStuck = !codes.includes('attempt_running') && codes.some((code) => forGood.includes(code))
    if (codes.includes('attempt_running')) expect(earliestRunAt === null || earliestRunAt === now).toBe(true)
    else if (isStuck) expect(earliestRunAt).toBeNull()
    else if (codes.includes('not_due')) expect(earliestRunAt).toBe(now + 200_000)
    else expect(earliestRunAt).toBe(codes.length === 0 ? now : null)
    if (codes.length === 0) expect(earliest).toBe('now')
  })
})

describe('the summary of', () => {
  test.each<[string, Given, string]>([
    [
      'a scheduled job',
      { state: 'scheduled' },
      'Job 7 (mail) is scheduled: a client enqueued it 12 s ago, with a delay of 3 min 32 s. It can run in 3 min 20 s, at 2030-01-01T10:03:20.000Z.',
    ],
    ['a job that may run', {}, 'Job 7 (mail) is queued: a client enqueued it 12 s ago. It can run now.'],
    [
      'a job in line',
      { jobFacts: { line: lineOf(3, 2) }, server: { busy: 10 } },
      'Job 7 (mail) is queued: 3 jobs of queue "default" go before it and 2 queues take turns; all 10 workers are busy. A client enqueued it 12 s ago. It can run as soon as its turn comes and a worker is free.',
    ],
    [
      'the first in line',
      { server: { slots: 1, busy: 1 } },
      'Job 7 (mail) is queued: the only worker is busy, and it is first in line. A client enqueued it 12 s ago. It can run as soon as a worker is free.',
    ],
    [
      'a job of a type that nobody runs',
      { jobFacts: { isUnhandled: true, line: null }, server: { hasHandler: false, types: [] } },
      'Job 7 (mail) is queued: this server has no handler for type "mail". A client enqueued it 12 s ago. It can run when a server with a handler for its type serves this database.',
    ],
    [
      'a job that is put back in line',
      { jobFacts: { isUnhandled: true, line: null } },
      'Job 7 (mail) is queued: it was set aside when no server had a handler for type "mail", and is being put back in line. A client enqueued it 12 s ago. It can run as soon as it is back in line.',
    ],
    [
      'a job that is leased',
      { state: 'leased' },
      'Job 7 (mail) is leased: the dispatcher claimed it 12 s ago for a worker. It can run now.',
    ],
    [
      'a running job',
      { state: 'running' },
      'Job 7 (mail) is running: a worker called its handler 12 s ago, for attempt 1 of 4. Process 4711 on db1 runs it, and tells its handler to stop in 4 min 48 s, at 2030-01-01T10:04:48.000Z, if it is not done by then: its timeout is 5 min.',
    ],
    [
      'a running job that did not heed its timeout',
      { state: 'running', attempt: { aborted: { at: now - 2_000, reason: new AttemptTimeoutError(10_000) } } },
      'Job 7 (mail) is running: a worker called its handler 12 s ago, for attempt 1 of 4. Its handler was told to stop 2 s ago, and has not ended: the attempt took longer than its timeout of 10000 ms; 5 s after that the attempt fails even if it is still running.',
    ],
    [
      'a running job of a server that stops',
      { state: 'running', server: { phase: 'draining', abortsAt: now + 15_000 } },
      'Job 7 (mail) is running: a worker called its handler 12 s ago, for attempt 1 of 4. Process 4711 on db1 runs it, and tells its handler to stop in 15 s, at 2030-01-01T10:00:15.000Z, if it is not done by then: the server is stopping.',
    ],
    [
      'a running job whose outcome cannot be stored',
      {
        state: 'running',
        attempt: null,
        server: { trouble: { message: 'the disk that holds the database is full', cause: 'full' } },
      },
      'Job 7 (mail) is running: the disk that holds the database is full; its handler has ended, and its outcome waits in memory until it can be stored. A worker called its handler 12 s ago, for attempt 1 of 4.',
    ],
    [
      'a running job of which the server may not have heard yet',
      { state: 'running', attempt: null, job: { startedAt: now - 100 } },
      'Job 7 (mail) is running: a worker called its handler 12 s ago, for attempt 1 of 4. Its handler is being called, or has ended, and its outcome is on its way to disk.',
    ],
    [
      'a job that is next',
      { state: 'running', attempt: { phase: 'next', timeoutMs: null } },
      'Job 7 (mail) is running: the dispatcher chose it to be next 12 s ago, for attempt 1 of 4. No worker is free for it yet. It can run as soon as a worker is free.',
    ],
    [
      'what a dead process ran',
      { state: 'running', server: { ...dead, phase: 'created' } },
      'Job 7 (mail) is running: a worker called its handler 12 s ago, for attempt 1 of 4. The process that held it has ended, and this server requeues it when it starts; this server has not started. It can run when this server starts.',
    ],
    [
      'what a dead process ran for the last time',
      { state: 'running', events: [...crashed, ...crash, 'lease', 'start'], server: { ...dead, phase: 'recovering' } },
      'Job 7 (mail) is running: a worker called its handler 12 s ago, for attempt 1 of 4, after attempt 1 had broken off, because the process ended while it ran; it ran alone. The process that held it has ended, and this server is requeuing it; this server is recovering what a dead process left, before it runs anything. The process has ended 4 times while it ran, so the job counts as the cause and becomes dead: correct its handler, then requeue it. It never runs again, unless someone requeues it.',
    ],
    [
      'a job that failed and is tried again',
      { state: 'retrying' },
      'Job 7 (mail) is retrying: attempt 1 of 4 failed 12 s ago with TypeError: not yet. It can run in 3 min 20 s, at 2030-01-01T10:03:20.000Z.',
    ],
    [
      'a job that failed, whose time has come',
      { events: ['enqueue', 'lease', 'start', 'fail', 'due'] },
      'Job 7 (mail) is queued: its time came 12 s ago, after attempt 1 had failed with TypeError: not yet. It can run now.',
    ],
    [
      'a job that is due and not moved on yet',
      { state: 'retrying', job: { runAt: now } },
      'Job 7 (mail) is retrying: attempt 1 of 4 failed 12 s ago with TypeError: not yet. It can run now.',
    ],
    [
      'a job that runs anew after a failure',
      {
        state: 'running',
        events: ['enqueue', 'lease', 'start', 'fail', 'due', 'lease', 'start'],
        attempt: { timeoutMs: null },
      },
      'Job 7 (mail) is running: a worker called its handler 12 s ago, for attempt 2 of 4, after attempt 1 had failed with TypeError: not yet. Process 4711 on db1 runs it.',
    ],
    [
      'a job that ran when the process ended',
      { events: ['enqueue', ...crash] },
      'Job 7 (mail) is queued: its time came 12 s ago, after attempt 1 had broken off, because the process ended while it ran; it ran alone. It can run now.',
    ],
    [
      'a job that ran when the process ended, a second time',
      { events: crashed },
      'Job 7 (mail) is queued: its time came 12 s ago, after attempt 1 had broken off, because the process ended while it ran; it ran alone. It runs before others, and alone for 2 s, because the process ended twice while it ran. It can run now.',
    ],
    [
      'such a job that waits for others of its kind',
      { events: crashed, jobFacts: { suspectsAhead: { count: 2, more: false }, line: null } },
      'Job 7 (mail) is queued: 2 other jobs go before it, one at a time, because the process ended more than once while they ran. Its time came 12 s ago, after attempt 1 had broken off, because the process ended while it ran; it ran alone. It runs before others, and alone for 2 s, because the process ended twice while it ran. It can run as soon as no other job has to run alone.',
    ],
    [
      'such a job that runs alone',
      {
        state: 'running',
        events: [...crashed, 'lease', 'start'],
        job: { startedAt: now - 500 },
        jobFacts: { exclusive: { id: 7, crashes: 2, startedAt: now - 500, timeoutMs: null } },
      },
      'Job 7 (mail) is running: a worker called its handler 12 s ago, for attempt 1 of 4, after attempt 1 had broken off, because the process ended while it ran; it ran alone. Process 4711 on db1 runs it, and tells its handler to stop in 5 min, at 2030-01-01T10:04:59.500Z, if it is not done by then: its timeout is 5 min. It runs alone until 2030-01-01T10:00:01.500Z at the latest, because the process ended twice while it ran.',
    ],
    [
      'a job that waits while another runs alone',
      { jobFacts: { exclusive: { id: 3, crashes: 2, startedAt: now - 500, timeoutMs: null } } },
      'Job 7 (mail) is queued: job 3 runs alone until 2030-01-01T10:00:01.500Z at the latest, because the process ended twice while it ran. A client enqueued it 12 s ago. It can run as soon as no other job has to run alone.',
    ],
    [
      'a job that waits while another runs alone to its end',
      { jobFacts: { exclusive: { id: 3, crashes: 3, startedAt: now - 9_000, timeoutMs: 60_000 } } },
      'Job 7 (mail) is queued: job 3 runs alone until 2030-01-01T10:00:51.000Z at the latest, because the process ended 3 times while it ran. A client enqueued it 12 s ago. It can run as soon as no other job has to run alone.',
    ],
    [
      'a job that waits for one that runs alone next',
      { jobFacts: { suspectsAhead: { count: 1, more: false } } },
      'Job 7 (mail) is queued: 1 job goes before it, one at a time, because the process ended more than once while it ran. A client enqueued it 12 s ago. It can run as soon as no other job has to run alone.',
    ],
    [
      'a job whose process ended a fourth time while it ran',
      { state: 'dead', events: [...crashed, ...crash, ...crash.slice(0, 3)] },
      'Job 7 (mail) is dead: it was given up 12 s ago, because the process ended while it ran, for the fourth time; it ran alone, so it counts as the cause (correct its handler, then requeue it). It never runs again, unless someone requeues it.',
    ],
    [
      'such a job that was requeued',
      { events: [...crashed, ...crash, ...crash.slice(0, 3), 'requeue'] },
      'Job 7 (mail) is queued: a user requeued it 12 s ago, after it had been given up, because the process ended while it ran, for the fourth time; it ran alone, so it counts as the cause (correct its handler, then requeue it). It can run now.',
    ],
    [
      'a job that ran when the process ended, a third time',
      { events: [...crashed, ...crash] },
      'Job 7 (mail) is queued: its time came 12 s ago, after attempt 1 had broken off, because the process ended while it ran; it ran alone. It runs before others, and alone to its end, because the process ended 3 times while it ran; if it ends once more meanwhile, the job is dead. It can run now.',
    ],
    [
      'a snoozed job',
      { state: 'scheduled', events: ['enqueue', 'due', 'lease', 'start', 'snooze'] },
      'Job 7 (mail) is scheduled: its handler snoozed it 12 s ago, which counts as no attempt. It can run in 3 min 20 s, at 2030-01-01T10:03:20.000Z.',
    ],
    [
      'a job that was snoozed twice',
      { state: 'scheduled', events: ['enqueue', ...snoozed, ...snoozed] },
      'Job 7 (mail) is scheduled: its handler snoozed it 12 s ago, which counts as no attempt. Its handler has snoozed it 2 times, for the first time 12 s ago. It can run in 3 min 20 s, at 2030-01-01T10:03:20.000Z.',
    ],
    [
      'a job that was snoozed, with the reason that its handler gave',
      {
        state: 'scheduled',
        jobFacts: { lastEvent: { ...snooze, seq: 5, note: 'the quota is\nused up. ' } },
      },
      'Job 7 (mail) is scheduled: its handler snoozed it 12 s ago (the quota is used up), which counts as no attempt. It can run in 3 min 20 s, at 2030-01-01T10:03:20.000Z.',
    ],
    [
      'a job that runs again after snoozes',
      {
        state: 'running',
        events: ['enqueue', ...snoozed, ...snoozed, 'due', 'lease', 'start'],
        jobFacts: { lastEnd: { ...snooze, seq: 9, note: 'the quota is used up' } },
        attempt: { stall: { stoppedMs: 30_000, blockedMs: 2_500 } },
      },
      'Job 7 (mail) is running: a worker called its handler 12 s ago, for attempt 1 of 4. Process 4711 on db1 runs it (the process did not run for 30 s of it, which does not count) (the event loop was blocked for 2.5 s of it, by this or another handler), and tells its handler to stop in 5 min 18 s, at 2030-01-01T10:05:18.000Z, if it is not done by then: its timeout is 5 min. Its handler has snoozed it 2 times, for the first time 12 s ago and for the last time 12 s ago (the quota is used up).',
    ],
    [
      'a job whose time has come as it was asked for',
      { events: ['enqueue', 'due'], job: { createdAt: now - 7_212_000 } },
      'Job 7 (mail) is queued: its time came 12 s ago, as asked with a delay of 2 h. It can run now.',
    ],
    [
      'a job that has been snoozed for longer than its history is looked through',
      {
        state: 'scheduled',
        jobFacts: {
          lastEvent: snooze,
          lastEnd: snooze,
          snoozes: { count: 250, since: now - day },
        },
      },
      'Job 7 (mail) is scheduled: its handler snoozed it 12 s ago, which counts as no attempt. Its handler has snoozed it at least 250 times, for the first time 1 d ago. It can run in 3 min 20 s, at 2030-01-01T10:03:20.000Z.',
    ],
    [
      'a job that a stop gave back while it ran',
      { events: ['enqueue', 'lease', 'start', 'release'] },
      'Job 7 (mail) is queued: the server that had started it gave it back 12 s ago, since it stopped or had no worker free in time, and that attempt does not count. It can run now.',
    ],
    [
      'a job that a stop gave back before it ran',
      { events: ['enqueue', 'lease', 'release'] },
      'Job 7 (mail) is queued: the server that had claimed it stopped 12 s ago and gave it back. It can run now.',
    ],
    [
      'a job whose lease ran out before it ran',
      { events: ['enqueue', 'lease', 'expire'] },
      'Job 7 (mail) is queued: the process that had claimed it ended or fell silent, and it was put back in line 12 s ago. It can run now.',
    ],
    [
      'a succeeded job',
      { state: 'succeeded' },
      'Job 7 (mail) has succeeded: its handler finished 12 s ago, in attempt 1 of 4. It never runs again. It is removed, with its history, in 7 d, at 2030-01-08T09:59:48.000Z, or soon after.',
    ],
    [
      'a succeeded job, with what its handler noted',
      {
        state: 'succeeded',
        server: { retentionMs: 0 },
        jobFacts: {
          lastEvent: {
            ...snooze,
            seq: 4,
            attempt: 1,
            event: 'succeed',
            to: 'succeeded',
            note: 'https://b.example answered 200 to POST',
          },
        },
      },
      'Job 7 (mail) has succeeded: its handler finished 12 s ago, in attempt 1 of 4 (https://b.example answered 200 to POST). It never runs again.',
    ],
    [
      'a job whose key was used again',
      { jobFacts: { replays: { count: 1, lastAt: now - 5_000 } } },
      'Job 7 (mail) is queued: a client enqueued it 12 s ago. Its idempotency key was used again once, 5 s ago: the answer was this job, and no new one was made. It can run now.',
    ],
    [
      'a job whose key was used again and again',
      { jobFacts: { replays: { count: 1_200, lastAt: now - 5_000 } } },
      'Job 7 (mail) is queued: a client enqueued it 12 s ago. Its idempotency key was used again 1,200 times, the last time 5 s ago: the answer was this job, and no new one was made. It can run now.',
    ],
    [
      'a succeeded job that is kept for ever',
      { state: 'succeeded', server: { retentionMs: 0 } },
      'Job 7 (mail) has succeeded: its handler finished 12 s ago, in attempt 1 of 4. It never runs again.',
    ],
    [
      'a dead job',
      { state: 'dead', events: ['enqueue', 'lease', 'start', 'fail'], job: { maxAttempts: 1 } },
      'Job 7 (mail) is dead: attempt 1 of 1 failed 12 s ago with TypeError: not yet. It never runs again, unless someone requeues it.',
    ],
    [
      'a job that was rejected',
      { state: 'dead' },
      'Job 7 (mail) is dead: attempt 1 of 4 failed 12 s ago with PermanentError: the mailbox is gone, which no further attempt can correct. It never runs again, unless someone requeues it.',
    ],
    [
      'a cancelled job whose handler goes on',
      {
        state: 'cancelled',
        events: ['enqueue', 'lease', 'start', 'cancel'],
        server: {
          retentionMs: 0,
          attempts: [
            {
              leaseToken: 2,
              phase: 'stuck',
              timeoutMs: 1,
              aborted: { at: now - 12_000, reason: new JobCancelledError() },
              stall: { stoppedMs: 0, blockedMs: 0 },
            },
          ],
        },
      },
      'Job 7 (mail) is cancelled: a user cancelled it 12 s ago, during attempt 1 of 4. The handler of an attempt that is over, told to stop 12 s ago, has not ended: it occupies a worker until it does, and can no longer record a result. It never runs again, unless someone requeues it.',
    ],
    [
      'a requeued job',
      { events: ['enqueue', 'lease', 'start', 'reject', 'requeue'] },
      'Job 7 (mail) is queued: a user requeued it 12 s ago, after attempt 1 had failed with PermanentError: the mailbox is gone. It can run now.',
    ],
    [
      'a queued job, to a producer',
      { server: null },
      "Job 7 (mail) is queued: this process is not a server, and process 4711 on db1, which began to serve the file at 2030-01-01T08:00:00.000Z, may still live. A client enqueued it 12 s ago. It can run as soon as the file's server reaches it.",
    ],
    [
      'a queued job, to a producer of a file that nobody has served',
      { server: null, jobFacts: { newestOwner: null } },
      "Job 7 (mail) is queued: this process is not a server, and no server has served the file yet. A client enqueued it 12 s ago. It can run as soon as the file's server reaches it.",
    ],
    [
      'an overdue job, to a producer',
      { state: 'scheduled', server: null, job: { runAt: now - 60_000 } },
      "Job 7 (mail) is scheduled: this process is not a server, and process 4711 on db1, which began to serve the file at 2030-01-01T08:00:00.000Z, has probably ended. A client enqueued it 12 s ago. It can run as soon as the file's server reaches it.",
    ],
    [
      'a running job whose lease has run out, to a producer',
      { state: 'running', server: null, jobFacts: { lease: { token: 2, expiresAt: now - 60_000, owner } } },
      "Job 7 (mail) is running: a worker called its handler 12 s ago, for attempt 1 of 4. As the file has it, process 4711 on db1 runs it; this process is not a server, and process 4711 on db1, which began to serve the file at 2030-01-01T08:00:00.000Z, has probably ended. It can run as soon as the file's server reaches it.",
    ],
  ])('%s', (_, given, summary) => {
    expect(summaryOf(given)).toBe(summary)
  })

  test('a job with a long error of many lines quotes one line of it', () => {
    const error = { name: 'Error', message: `line one\r\n\u0000line\ttwo \u202e${'x'.repeat(1_000)}.` }
    const { lastEvent } = someFacts({ state: 'retrying' }).jobFacts

    const summary = summaryOf({ state: 'retrying', jobFacts: { lastEvent: { ...lastEvent, error } } })

    expect(summary).toMatch(/with Error: line one line two x+…\. It can run in/)
    expect(summary.length).toBeLessThan(400)
  })
})

describe('what comes next', () => {
  test.each<[EventType, Given, string]>([
    [
      'due',
      { state: 'scheduled' },
      'Its time comes (due): the job becomes queued. Not now: it is due in 3 min 20 s, at 2030-01-01T10:03:20.000Z.',
    ],
    ['lease', {}, 'The dispatcher claims it for a worker (lease): the job becomes leased. It can happen now.'],
    [
      'start',
      { state: 'leased' },
      'A worker calls its handler (start): the job becomes running, and attempt 1 of 4 begins. It can happen now.',
    ],
    [
      'fail',
      { state: 'running' },
      'Its handler throws, or takes longer than its timeout (fail): the job becomes retrying, because attempt 1 of 4 is not the last. It can happen now.',
    ],
    [
      'fail',
      { state: 'running', job: { maxAttempts: 1 } },
      'Its handler throws, or takes longer than its timeout (fail): the job becomes dead, because attempt 1 of 1 is the last. It can happen now.',
    ],
    [
      'snooze',
      { state: 'running' },
      'Its handler asks to be run later (snooze): the job becomes scheduled, and this attempt does not count. It can happen now.',
    ],
    [
      'release',
      { state: 'running' },
      'A server that stops, or has no worker free for it, gives it back (release): the job becomes queued, and this attempt does not count. Not now: this server is not stopping.',
    ],
    [
      'expire',
      { state: 'running' },
      'Its lease runs out, or its holder is found dead (expire): the job becomes retrying, and this attempt does not count. Not now: process 4711 on db1 holds its lease until 2030-01-01T10:00:20.000Z and renews it for as long as it lives.',
    ],
    [
      'requeue',
      { state: 'dead' },
      'A user runs it again (requeue): the job becomes queued, and its attempts start over. It can happen now.',
    ],
    [
      'cancel',
      { server: null },
      'A user stops it (cancel): the job becomes cancelled. This process does not know whether it can happen now: this process is not a server, and process 4711 on db1, which began to serve the file at 2030-01-01T08:00:00.000Z, may still live.',
    ],
  ])('by %s is described in a sentence', (event, given, sentence) => {
    expect(nextOf(event, given).sentence).toBe(sentence)
  })

  test.each<[string, EventType, Given, (boolean | null)[], string[]]>([
    ['due, before its time', 'due', { state: 'retrying' }, [false], ['not_due']],
    ['due, at its time', 'due', { state: 'retrying', job: { runAt: now } }, [true], []],
    [
      'due, also before the server starts',
      'due',
      { state: 'retrying', job: { runAt: now }, server: { ...dead, phase: 'created' } },
      [true],
      [],
    ],
    ['lease, on a server that stops', 'lease', { server: { phase: 'draining' } }, [false], ['draining']],
    ['lease, on a server that has stopped', 'lease', { server: { phase: 'stopped' } }, [false], ['not_serving']],
    ['lease, seen by a producer', 'lease', { server: null }, [null], ['server_elsewhere']],
    [
      'lease of what was put aside, seen by a producer',
      'lease',
      { server: null, jobFacts: { isUnhandled: true, line: null } },
      [false],
      ['no_handler', 'server_elsewhere'],
    ],
    ['start of what is leased', 'start', { state: 'leased', server: { busy: 10 } }, [true], []],
    [
      'start of what a dead process leased',
      'start',
      { state: 'leased', server: { ...dead, phase: 'recovering' } },
      [false],
      ['holder_gone', 'recovering'],
    ],
    [
      'release of what is leased, on a server that stops',
      'release',
      { state: 'leased', server: { phase: 'draining' } },
      [true],
      [],
    ],
    [
      'release of what runs, before the grace has ended',
      'release',
      { state: 'running', server: { phase: 'draining', abortsAt: now + 1 } },
      [false],
      ['attempt_running'],
    ],
    [
      'release of what was aborted',
      'release',
      {
        state: 'running',
        server: { phase: 'draining' },
        attempt: { aborted: { at: now, reason: new ShutdownError() } },
      },
      [true],
      [],
    ],
    [
      'success of what the stop aborted',
      'succeed',
      { state: 'running', attempt: { aborted: { at: now, reason: new ShutdownError() } } },
      [true],
      [],
    ],
    [
      'failure of what the stop aborted',
      'fail',
      { state: 'running', attempt: { aborted: { at: now, reason: new ShutdownError() } } },
      [false],
      ['attempt_aborted'],
    ],
    [
      'failure of what took too long',
      'fail',
      { state: 'running', attempt: { aborted: { at: now, reason: new AttemptTimeoutError(1) } } },
      [true],
      [],
    ],
    ['release of what is next', 'release', { state: 'running', attempt: { phase: 'next' } }, [true], []],
    [
      'success of what is next',
      'succeed',
      { state: 'running', attempt: { phase: 'next' } },
      [false],
      ['no_free_worker'],
    ],
    [
      'success of what took too long',
      'succeed',
      { state: 'running', attempt: { aborted: { at: now, reason: new AttemptTimeoutError(1) } } },
      [false],
      ['attempt_aborted'],
    ],
    [
      'success of what was given up',
      'succeed',
      { state: 'running', attempt: { phase: 'stuck' } },
      [false],
      ['outcome_pending'],
    ],
    [
      'success where nothing can be stored',
      'succeed',
      { state: 'running', server: { trouble: { message: 'no', cause: null } } },
      [false],
      ['storage_trouble'],
    ],
    [
      'success of what a dead process ran',
      'succeed',
      { state: 'running', server: { ...dead, phase: 'created' } },
      [false],
      ['holder_gone'],
    ],
    [
      'expiry of what a dead process ran, by recovery',
      'expire',
      { state: 'running', server: { ...dead, phase: 'recovering' } },
      [true],
      [],
    ],
    [
      'expiry of what a dead process ran, by its time',
      'expire',
      {
        state: 'running',
        server: { ...dead, phase: 'created' },
        jobFacts: { lease: { token: 2, expiresAt: now, owner } },
      },
      [true],
      [],
    ],
    [
      'expiry of what is renewed late',
      'expire',
      { state: 'running', jobFacts: { lease: { token: 2, expiresAt: now - 1, owner } } },
      [false],
      ['lease_held'],
    ],
    [
      'expiry, seen by a producer',
      'expire',
      { state: 'running', server: null },
      [false],
      ['lease_held', 'server_elsewhere'],
    ],
    [
      'expiry of a lease that has run out, seen by a producer',
      'expire',
      { state: 'running', server: null, jobFacts: { lease: { token: 2, expiresAt: now, owner } } },
      [null],
      ['server_elsewhere'],
    ],
    ['cancel, before the server starts', 'cancel', { server: { ...dead, phase: 'created' } }, [true], []],
    ['cancel, while the server stops', 'cancel', { server: { phase: 'draining' } }, [false], ['draining']],
    [
      'requeue, where nothing can be stored',
      'requeue',
      { state: 'dead', server: { trouble: { message: 'no', cause: null } } },
      [false],
      ['storage_trouble'],
    ],
  ])('by %s', (_, event, given, [possible], codes) => {
    const next = nextOf(event, given)

    expect([next.possible, next.obstacles.map(({ code }) => code)]).toEqual([possible, codes])
  })

  test('says until when a blocker that ends by itself remains', () => {
    const untilOf = (event: EventType, given: Given) => nextOf(event, given).obstacles.map(({ until }) => until)

    expect(untilOf('due', { state: 'scheduled' })).toEqual([now + 200_000])
    expect(untilOf('expire', { state: 'running' })).toEqual([now + 20_000])
    expect(untilOf('lease', { server: { busy: 10 } })).toEqual([null])
  })
})

describe('what blocks the next run', () => {
  test.each<[Given, string[]]>([
    [{ state: 'scheduled' }, ['not_due']],
    [{ state: 'scheduled', server: { hasHandler: false } }, ['not_due', 'no_handler']],
    [{ state: 'scheduled', server: { phase: 'draining' } }, ['not_due', 'draining']],
    [{ jobFacts: { line: lineOf(1) } }, ['behind_others']],
    [{ jobFacts: { line: lineOf(1) }, server: { busy: 10 } }, ['behind_others', 'no_free_worker']],
    [{ state: 'running' }, ['attempt_running']],
    [{ state: 'running', attempt: { phase: 'next' } }, ['no_free_worker']],
    [{ state: 'running', attempt: null }, ['outcome_pending']],
    [{ state: 'running', server: { ...dead, phase: 'draining' } }, ['holder_gone', 'draining']],
    [{ state: 'succeeded' }, ['ended']],
    [{ state: 'dead', server: null }, ['ended']],
  ])('%o is %o', (given, codes) => {
    expect(codesOf(given)).toEqual(codes)
  })

  test('is when its attempt is told to stop, if it runs', () => {
    const untilOf = (given: Given) => explain(someFacts({ state: 'running', ...given })).obstacles[0]!.until

    expect(untilOf({})).toBe(now - 12_000 + 300_000)
    expect(untilOf({ server: { phase: 'draining', abortsAt: now + 1 } })).toBe(now + 1)
    expect(untilOf({ server: { phase: 'draining', abortsAt: now + day } })).toBe(now - 12_000 + 300_000)
    expect(untilOf({ server: null, job: { timeoutMs: 50_000 } })).toBe(now - 12_000 + 50_000)
    expect(untilOf({ server: null })).toBeNull()
    expect(untilOf({ attempt: { aborted: { at: now, reason: new AttemptTimeoutError(1) } } })).toBe(now + 5_000)
  })

  test.each([
    [lineOf(1), '1 job of queue "default" goes before it'],
    [lineOf(1_234), '1,234 jobs of queue "default" go before it'],
    [lineOf(10_000, 1, true), 'more than 10,000 jobs of queue "default" go before it'],
    [lineOf(2, 5), '2 jobs of queue "default" go before it and 5 queues take turns'],
  ])('is its place in line: %o', (line, message) => {
    expect(explain(someFacts({ jobFacts: { line } })).obstacles[0]).toEqual({
      code: 'behind_others',
      message,
      until: null,
    })
  })

  test('is what occupies the workers', () => {
    const messageOf = (server: Partial<ServerFacts>) => explain(someFacts({ server })).obstacles[0]?.message

    expect(messageOf({ busy: 9 })).toBeUndefined()
    expect(messageOf({ busy: 10 })).toBe('all 10 workers are busy, and it is first in line')
    expect(messageOf({ busy: 3, slots: 3, holders: [holder(3), ignores(4), holder(5, 200_000)] })).toBe(
      'all 3 workers are busy, 1 of them with a handler that ignores its signal (job 4 of type report, told to stop 9 s ago), and it is first in line',
    )
    expect(messageOf({ busy: 2, slots: 2, holders: [ignores(3), { ...ignores(4), abortedAt: now - 60_000 }] })).toBe(
      'all 2 workers are held by handlers that ignore their signal (the first: job 4 of type report, told to stop 1 min ago), and it is first in line',
    )
    expect(messageOf({ busy: 1, slots: 1, holders: [ignores(3)] })).toBe(
      'the only worker is held by a handler that ignores its signal (job 3 of type report, told to stop 9 s ago), and it is first in line',
    )
    expect(messageOf({ busy: 1, slots: 1, holders: [holder(3, 11_000)] })).toBe(
      'the only worker is busy (job 3 of type report, for 11 s), and it is first in line',
    )
    expect(messageOf({ busy: 2, slots: 2, holders: [holder(3, 11_000), holder(4, 90_000)] })).toBe(
      'all 2 workers are busy (the longest: job 4 of type report, for 1 min 30 s), and it is first in line',
    )
  })

  test('is the jobs that hold all workers for long, before its place in line', () => {
    const given = (...holders: readonly WorkerHolder[]): Given => {
      return { jobFacts: { line: lineOf(1) }, server: { busy: holders.length, slots: holders.length, holders } }
    }
    const messageOf = (...holders: readonly WorkerHolder[]) =>
      explain(someFacts(given(...holders))).obstacles[0]?.message

    expect(codesOf(given(holder(3)))).toEqual(['no_free_worker', 'behind_others'])
    expect(messageOf(holder(3))).toBe('the only worker has been held by job 3 of type report for 1 min')
    expect(messageOf(holder(3), holder(4, 90_000))).toBe(
      'all 2 workers have been held by the same jobs for 1 min or longer (the longest: job 4 of type report, for 1 min 30 s)',
    )
    expect(codesOf(given(holder(3, 59_000), holder(4, 90_000)))).toEqual(['behind_others', 'no_free_worker'])
  })

  test('is what holds the workers first, if their handlers ignore their signal', () => {
    const given = { jobFacts: { line: lineOf(1) }, server: { busy: 1, slots: 1, holders: [ignores(3)] } }

    expect(codesOf(given)).toEqual(['no_free_worker', 'behind_others'])
    expect(explain(someFacts(given)).workers).toEqual([ignores(3)])
    expect(explain(someFacts()).workers).toEqual([])
  })

  test('lists ten that hold the workers: those that ignore their signal, then the longest', () => {
    const holders = [...Array.from({ length: 12 }, (_, id) => holder(id, id * 1_000)), ignores(50)]

    const { workers } = explain(someFacts({ server: { busy: 13, slots: 13, holders } }))

    expect(workers.map(({ jobId }) => jobId)).toEqual([50, 11, 10, 9, 8, 7, 6, 5, 4, 3])
  })

  test('says how many go before it by priority, and that others may', () => {
    const messageOf = (ahead: number, higher: number) =>
      explain(
        someFacts({ jobFacts: { line: { ...lineOf(ahead), higher: { count: higher, more: false }, highest: 5 } } }),
      ).obstacles[0]?.message

    const overtake = '(up to 5; later ones overtake it too)'
    expect(messageOf(1, 1)).toBe(`1 job of queue "default" goes before it, by higher priority ${overtake}`)
    expect(messageOf(5, 5)).toBe(`5 jobs of queue "default" go before it, all of them by higher priority ${overtake}`)
    expect(messageOf(5, 2)).toBe(`5 jobs of queue "default" go before it, 2 of them by higher priority ${overtake}`)
  })

  test('names the type that was meant, or those that there are', () => {
    const messageOf = (type: string, types: readonly string[]) =>
      explain(someFacts({ job: { type }, server: { hasHandler: false, types } })).obstacles[0]?.message

    expect(messageOf('emial', ['email', 'sleep'])).toBe(
      'this server has no handler for type "emial", but it has one for "email"',
    )
    expect(messageOf('resize', ['email', 'sleep'])).toBe(
      'this server has no handler for type "resize", only for email, sleep',
    )
    const many = Array.from({ length: 12 }, (_, index) => `kind-number-${index}`)
    expect(messageOf('resize', many)).toMatch(/kind-number-9, 2 more$/)
  })
})

describe('when it runs next', () => {
  const nextRunOf = (given: Given) => {
    const { earliestRunAt, earliest } = explain(someFacts(given))
    return [earliestRunAt, earliest]
  }

  test.each<[string, Given, string]>([
    ['while all workers are busy', { server: { busy: 10 } }, 'as soon as a worker is free'],
    [
      'while no worker will ever be free',
      { server: { busy: 10, holders: [ignores(3)] } },
      'as soon as a worker is free',
    ],
    ['while others go before it', { jobFacts: { line: lineOf(10_000, 1, true) } }, 'as soon as its turn comes'],
    ['in a file that another process serves', { server: null }, "as soon as the file's server reaches it"],
    [
      'without a handler',
      { server: { hasHandler: false } },
      'when a server with a handler for its type serves this database',
    ],
    [
      'once its handler has ended and the outcome is not stored',
      { state: 'running', attempt: null },
      'not before the outcome of its attempt is stored, and then only if it did not succeed',
    ],
  ])('is unknown %s, and the explanation says so', (_, given, when) => {
    expect(nextRunOf(given)).toEqual([null, when])
  })

  test('is an instant if only the clock decides, or the server does the rest at once', () => {
    expect(nextRunOf({})).toEqual([now, 'now'])
    expect(nextRunOf({ state: 'running' })).toEqual([now, 'now: it is running'])
    expect(nextRunOf({ state: 'retrying', server: { busy: 10 } })[0]).toBe(now + 200_000)
  })
})

test('a lease that could not be renewed on disk is still held, and the explanation says so', () => {
  const lease = { token: 2, expiresAt: now - 30_000, owner }

  const expire = nextOf('expire', { state: 'running', jobFacts: { lease }, attempt: { leaseToken: 2 } })

  expect(expire.sentence).toContain(
    'this server, still holds the job, and no other can take it: the lease ran out 30 s ago, at 2030-01-01T09:59:30.000Z, and is renewed as soon as the file can be written',
  )
  expect(expire.possible).toBe(false)
})

describe('an explanation', () => {
  test('depends only on its facts, whatever is added to them later', () => {
    const facts = someFacts({ state: 'running' })

    expect(explain(facts)).toEqual(explain(structuredClone(facts)))
  })

  test('says what brought the job here, and the last failure before that', () => {
    const { because, lastFailure } = explain(someFacts({ events: ['enqueue', 'lease', 'start', 'fail', 'due'] }))

    expect(because).toEqual({
      seq: 5,
      event: 'due',
      cause: 'clock',
      at: now - 12_000,
      attempt: 1,
      maxAttempts: 4,
      error: null,
      sentence: 'Its time came 12 s ago, after attempt 1 had failed with TypeError: not yet.',
    })
    expect(lastFailure).toEqual({
      seq: 4,
      event: 'fail',
      cause: 'handler',
      at: now - 12_000,
      attempt: 1,
      maxAttempts: 4,
      error: { name: 'TypeError', message: 'not yet' },
      sentence: 'Attempt 1 of 4 failed 12 s ago with TypeError: not yet.',
    })
  })

  test('does not take the failure of an earlier life for one of this life', () => {
    const events: EventType[] = ['enqueue', 'lease', 'start', 'reject', 'requeue', 'lease', 'start']

    expect(explain(someFacts({ state: 'running', events })).because.sentence).toBe(
      'A worker called its handler 12 s ago, for attempt 1 of 4.',
    )
  })

  test('does not treat an attempt that began after the file was read as finished', () => {
    const later = {
      leaseToken: 2,
      phase: 'called',
      timeoutMs: 1,
      aborted: null,
      stall: { stoppedMs: 0, blockedMs: 0 },
    } as const

    expect(summaryOf({ server: { attempts: [later] } })).toBe(summaryOf({}))
  })

  test.each<[JobState, number | null]>([
    ['succeeded', now - 12_000 + 7 * day],
    ['cancelled', now - 12_000 + 7 * day],
    ['dead', null],
    ['queued', null],
  ])('of a job that is %s says when it will be removed: %o', (state, removedAt) => {
    expect(explain(someFacts({ state })).removedAt).toBe(removedAt)
    expect(explain(someFacts({ state, server: null })).removedAt).toBeNull()
  })
})

describe('a job that has succeeded, but not as somebody thinks,', () => {
  const leadOf = (note: string | undefined, replays: Given['jobFacts'] = {}) => {
    const { lastEvent } = someFacts({ state: 'succeeded' }).jobFacts
    const noted = note === undefined ? lastEvent : { ...lastEvent, note }
    return summaryOf({ state: 'succeeded', jobFacts: { lastEvent: noted, ...replays } }).split('. ', 1)[0]
  }
  const replays = { replays: { count: 3, lastAt: now - 5_000 } }

  test.each([
    [
      'says first that another host answered',
      'b answered 200 to POST, after a redirect from a',
      ', but another host answered: b answered 200 to POST, after a redirect from a',
    ],
    [
      'says first that the process was stopped',
      'the process did not run for 9.0 s meanwhile',
      ', but the process did not run for 9.0 s meanwhile',
    ],
    [
      'says first that the loop stood still',
      'the event loop stood still for 9.0 s meanwhile',
      ', but the event loop stood still for 9.0 s meanwhile',
    ],
    [
      'takes a redirect to another path of the same host for usual',
      'a answered 200 to POST, after a redirect to another path',
      ': its handler finished 12 s ago, in attempt 1 of 4 (a answered 200 to POST, after a redirect to another path)',
    ],
  ])('%s', (_, note, lead) => {
    expect(`${leadOf(note)}.`).toBe(`Job 7 (mail) has succeeded${lead}.`)
  })

  test('says first that its key was used again, unless something else is odd too', () => {
    expect(leadOf(undefined, replays)).toBe(
      'Job 7 (mail) has succeeded, and no new job was made when its idempotency key was used again 3 times, the last time 5 s ago',
    )
    expect(leadOf('the process did not run for 9.0 s meanwhile', replays)).toContain('did not run')
    expect(summaryOf({ state: 'succeeded', jobFacts: replays }).match(/used again/g)).toHaveLength(1)
  })
})

describe('how its handler ended is known before it is stored:', () => {
  test.each<['succeed' | 'fail' | 'reject' | 'snooze', string, RegExp]>([
    ['succeed', 'its handler has succeeded', /^never again/],
    ['fail', 'its handler has failed', /^not before/],
    ['reject', 'its handler has failed for good', /^not before/],
    ['snooze', 'its handler has asked to be run later', /^not before/],
  ])('%s', (event, said, when) => {
    const outcomes = [{ leaseToken: 2, event }]

    const { summary, earliest } = explain(
      someFacts({
        state: 'running',
        attempt: null,
        server: { outcomes, trouble: { message: 'the disk is full', cause: 'full' } },
      }),
    )

    expect(summary).toContain(`the disk is full; ${said}, and its outcome waits in memory until it can be stored.`)
    expect(earliest).toMatch(when)
  })
})

test('an attempt that started long after its job was due says so', () => {
  const late = (ms: number) => summaryOf({ state: 'dead', job: { startedAt: now, runAt: now - ms } })

  expect(late(60_000)).toContain('It started 1 min after it was due: no server ran meanwhile, or no worker was free.')
  expect(late(59_999)).not.toContain('It started')
})

describe('in words', () => {
  test.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [1_000, '1 s'],
    [1_540, '1.5 s'],
    [9_949, '9.9 s'],
    [9_950, '10 s'],
    [59_499, '59 s'],
    [59_500, '1 min'],
    [200_000, '3 min 20 s'],
    [3_599_600, '1 h'],
    [3_600_000 + 300_000, '1 h 5 min'],
    [2 * day + 4 * 3_600_000, '2 d 4 h'],
    [7 * day - 12_000, '7 d'],
    [day - 30_000, '1 d'],
    [400 * day, '400 d'],
    [57 * 365 * day, '57 years'],
  ])('%i ms are %s', (ms, words) => {
    expect(duration(ms)).toBe(words)
  })

  test('an instant in the future counts as now', () => {
    expect([ago(5, 5), ago(9, 5), ago(4, 5)]).toEqual(['just now', 'just now', '1 ms ago'])
  })

  test('a noun is singular for one and plural for many', () => {
    const messageOf = (queues: number) =>
      nextOf('lease', { jobFacts: { line: lineOf(1, queues) } }).obstacles[0]?.message

    expect(messageOf(1)).toBe('1 job of queue "default" goes before it')
    expect(messageOf(2)).toBe('1 job of queue "default" goes before it and 2 queues take turns')
  })

  test('clauses are joined as in English', () => {
    const whenOf = (ahead: number, suspects: number, busy: number) =>
      explain(
        someFacts({
          jobFacts: { line: lineOf(ahead), suspectsAhead: { count: suspects, more: false } },
          server: { busy },
        }),
      ).earliest

    expect([whenOf(0, 0, 0), whenOf(1, 0, 0), whenOf(1, 1, 0), whenOf(1, 1, 10)]).toEqual([
      'now',
      'as soon as its turn comes',
      'as soon as no other job has to run alone and its turn comes',
      'as soon as no other job has to run alone, its turn comes and a worker is free',
    ])
  })

  test('an error that ends in a full stop has only one', () => {
    const { lastEvent } = someFacts({ state: 'retrying' }).jobFacts
    const error = { name: 'Error', message: 'it broke. ' }

    const { because } = explain(someFacts({ state: 'retrying', jobFacts: { lastEvent: { ...lastEvent, error } } }))

    expect(because.sentence).toBe('Attempt 1 of 4 failed 12 s ago with Error: it broke.')
  })
})
