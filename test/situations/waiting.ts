import { z } from 'zod'
import { SnoozeError } from '../../src/errors.ts'
import { defineHandler } from '../../src/handlers/define.ts'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { createTestSystem, type TestSystemOptions } from '../../src/testing/index.ts'
import { deferred } from '../support/deferred.ts'
import { openSystem, startSystem, until, untilCalled } from '../support/system.ts'
import { whenDone } from '../support/temp.ts'
import { see } from './seen.ts'
import type { Situation } from './situation.ts'

const hour = 3_600_000
const payload = z.unknown()
const forEver = () => new Promise(() => {})
const nineOClock = Date.UTC(2030, 0, 15, 9)

async function aSystem(options: TestSystemOptions) {
  const jobs = await createTestSystem({ startAt: nineOClock, ...options })
  whenDone(() => jobs.stop())
  return { jobs, seeIt: (id: number) => see(jobs.system, id, () => jobs.clock.now()) }
}

/** Jobs that do not run, or not yet. */
export const waiting: readonly Situation[] = [
  {
    name: 'handlers that ignore their signal hold workers',
    cause: 'Two of three workers are held for ever by handlers of build-report that went on after their timeout.',
    action: 'Restart the server, and make build-report end when its signal fires. Requeue or cancel does not help.',
    says: /^Job 4 \(send-invoice\) is queued: all 3 workers are busy, 2 of them with handlers that ignore their signal \(the first: job 1 of type build-report/,
    advises:
      /^Restart the server to free the workers\. Correct the handler of build-report as well.* A restart interrupts the other job that runs/,
    async build() {
      const { jobs, seeIt } = await aSystem({
        workers: 3,
        handlers: [
          defineHandler({ type: 'build-report', payload, timeoutMs: 60_000, maxRetries: 0, run: forEver }),
          defineHandler({ type: 'import-orders', payload, timeoutMs: 2 * hour, run: forEver }),
          defineHandler({ type: 'send-invoice', payload, run: () => undefined }),
        ],
      })
      await jobs.enqueue(['build-report', 'build-report', 'import-orders'].map((type) => ({ type, payload: {} })))
      // Called; told to stop; given up.
      await jobs.advance(0)
      for (const ms of [60_000, 5_000, 655_000]) await jobs.clock.moveTo(jobs.clock.now() + ms)
      const { id } = await jobs.system.enqueue({ type: 'send-invoice', payload: { invoice: 4711 } })
      jobs.clock.advance(7 * 60_000)
      return seeIt(id)
    },
  },
  {
    name: 'jobs of higher priority go first',
    cause: 'Starved by priority: jobs of priority 5 keep going before it, and one worker is not enough for them.',
    action: 'More workers, or edit it to a higher priority; those jobs in a queue of their own.',
    says: /is queued: the only worker has been held by job 1 of type thumbnail for 3 h; 60 jobs of queue "images" go before it, all of them by higher priority \(up to 5; later ones overtake it too\)/,
    advises:
      /^Look at job 1 first: it may be hung\..*edit it: give it a priority above 5\. Such jobs in a queue of their own delay it less/,
    async build() {
      const { jobs, seeIt } = await aSystem({
        workers: 1,
        handlers: [defineHandler({ type: 'thumbnail', payload, timeoutMs: 10 * hour, run: forEver })],
      })
      const aJob = (priority: number) => ({ type: 'thumbnail', queue: 'images', priority, payload: {} })
      await jobs.enqueue(aJob(5))
      const { id } = await jobs.system.enqueue(aJob(-10))
      await jobs.advance(0)
      jobs.clock.advance(3 * hour)
      await jobs.system.enqueue(Array.from({ length: 60 }, () => aJob(5)))
      return seeIt(id)
    },
  },
  {
    name: 'a job is snoozed for more than a day',
    cause: 'Its handler snoozes it each hour, since the bank has not published the statement; snoozes never run out.',
    action:
      'See to the statement (or wait for it); cancel the job if it will never come. Requeuing is not possible or useful.',
    says: /is scheduled: its handler snoozed it .* \(the bank has not published the statement of 14 January\).*snoozed it 28 times, for the first time 1 d 3 h ago/,
    advises:
      /^Provide what its handler waits for, or wait: .*If that will never come, cancel it: snoozes do not count as attempts/,
    async build() {
      const { jobs, seeIt } = await aSystem({
        handlers: [
          defineHandler({
            type: 'import-statement',
            payload,
            run() {
              throw new SnoozeError(hour, 'the bank has not published the statement of 14 January')
            },
          }),
        ],
      })
      const { id } = await jobs.enqueue({ type: 'import-statement', payload: { account: 12 } })
      await jobs.advance('1d3h')
      jobs.clock.advance(20 * 60_000)
      return seeIt(id)
    },
  },
  {
    name: 'a misspelt type',
    cause: 'A producer enqueued it as "resise-image"; the handler is called "resize-image".',
    action: 'Cancel it and enqueue it anew with the right type (and correct the producer).',
    says: /is queued: this server has no handler for type "resise-image", but it has one for "resize-image"\./,
    advises:
      /^If "resize-image" was meant, correct the program that enqueues it; then cancel this job and enqueue it again with that type/,
    async build() {
      const { system, path, clock } = await startSystem({
        runs: { 'resize-image': () => undefined, 'send-invoice': () => undefined },
      })
      const { system: producer } = await openSystem({ runs: null, database: path, clock })
      await producer.start()
      const { id } = await producer.enqueue({ type: 'resise-image', payload: { image: 'cat.png' } })
      await until(async () => (await system.explain(id)).line === null)
      clock.advance(2 * hour)
      return see(system, id, () => clock.now())
    },
  },
  {
    name: 'an instant was given as a delay',
    cause: 'delay_ms was given an epoch time (an instant) instead of a length, so it is due in 60 years.',
    action: 'Cancel it and enqueue it anew with run_at, or a right delay; or cancel and requeue to run it now.',
    says: /with a delay of 60 years \(read as a date, that is 2030-01-16T09:00:00\.000Z\)\. It can run in 60 years/,
    advises:
      /^To run it now, edit it: set `run_at` to the present, or to the time that was meant .* it probably passed a date \(2030-01-16T09:00:00\.000Z, 1 d ago\) as the delay, and must pass it as run_at/,
    async build() {
      const { jobs, seeIt } = await aSystem({
        handlers: [defineHandler({ type: 'send-reminder', payload, run: () => undefined })],
      })
      const tomorrow = nineOClock + 24 * hour
      const { id } = await jobs.enqueue({ type: 'send-reminder', payload: { user: 7 }, delayMs: tomorrow })
      await jobs.advance('2d')
      return seeIt(id)
    },
  },
  {
    name: 'another program locks the file',
    onThreads: true,
    cause: 'Another process holds a lock on the database; the handler is done, its outcome waits in memory.',
    action: 'End the program that holds the lock. Do not restart the server meanwhile, do not cancel or requeue.',
    says: /^Job 1 \(charge-card\) is running: another process holds a lock on the database; its handler has succeeded, and its outcome waits in memory/,
    advises:
      /^End the other program that holds a lock on the database .*`fuser \S+jobs\.db` names it, besides this server.*Do not restart the server before.*might repeat its effect/,
    async build() {
      const hold = deferred()
      const { system, path, clock } = await startSystem({ runs: { 'charge-card': () => hold.promise } })
      const { id } = await system.enqueue({ type: 'charge-card', payload: { order: 4711 } })
      await untilCalled(system, id)
      const other = openKept(path)
      whenDone(() => other.close())
      other.exec('BEGIN IMMEDIATE')
      hold.resolve()
      await until(() => system.health().reason !== null)
      clock.advance(3 * 60_000)
      const seen = await see(system, id, () => clock.now())
      other.exec('ROLLBACK')
      return seen
    },
  },
]
