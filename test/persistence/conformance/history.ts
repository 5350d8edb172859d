import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { jobStates } from '../../../src/machines/edges.ts'
import type { LeaseEvent, Transition } from '../../../src/persistence/store.ts'
import { aJob } from '../../support/store.ts'
import { bringTo, countIn, ids, type Open, queuedLast, rising, settle } from './helpers.ts'

/** What has happened. */
export function testHistory(open: Open): void {
  describe('counts', () => {
    test('equal the sums over the jobs', async () => {
      const opened = await open()
      for (const state of queuedLast) await bringTo(opened, state, 2)

      const { jobs } = await opened.store.list({ limit: 100 })

      for (const state of jobStates) {
        expect([state, await countIn(opened.store, state)]).toEqual([
          state,
          jobs.filter((job) => job.state === state).length,
        ])
      }
    })
  })

  describe('the path of a job', () => {
    test('is every edge that it took, how often, with the last one last', async () => {
      const { store } = await open()
      const [id] = ids(await store.enqueue([aJob({ maxAttempts: 2 })]))
      for (let attempt = 1; attempt <= 2; attempt++) {
        await store.sweep()
        const [job] = await store.lease({ limit: 1, wait: false })
        await settle(store, job!, 'start', 'fail')
      }

      const path = await store.pathOf(id!, Number.MAX_SAFE_INTEGER)

      expect(path).toEqual({
        seq: 8,
        since: 1,
        steps: [
          { from: null, event: 'enqueue', to: 'queued', count: 1 },
          { from: 'running', event: 'fail', to: 'retrying', count: 1 },
          { from: 'retrying', event: 'due', to: 'queued', count: 1 },
          { from: 'queued', event: 'lease', to: 'leased', count: 2 },
          { from: 'leased', event: 'start', to: 'running', count: 2 },
          { from: 'running', event: 'fail', to: 'dead', count: 1 },
        ],
      })
    })

    test('ends where requested, or at the job’s state', async () => {
      const { store } = await open()
      const [id, other] = ids(await store.enqueue([aJob(), aJob({ delayMs: 1_000 })]))
      const [job] = await store.lease({ limit: 1, wait: false })
      await settle(store, job!, 'start', 'succeed')

      const leased = await store.pathOf(id!, 2)
      const beyond = await store.pathOf(other!, 99)

      expect([leased?.seq, leased?.steps.at(-1)]).toEqual([
        2,
        { from: 'queued', event: 'lease', to: 'leased', count: 1 },
      ])
      expect([beyond?.seq, beyond?.steps.length]).toEqual([1, 1])
    })

    test('is empty for an unknown job', async () => {
      const { store } = await open()

      expect(await store.pathOf(1, 1)).toBeUndefined()
    })
  })

  describe('the cause of an event', () => {
    const kept = { cause: 'http', actor: 'ada', reason: 'wrong "customer"' } as const
    const text = JSON.stringify(kept)

    test('is stored as given for a new job, a command, and a bulk action', async () => {
      const { store } = await open()
      const [a, b] = ids(await store.enqueue([aJob({ cause: text }), aJob()]))

      await store.send('cancel', a!, text)
      await store.command('cancel', [b!], 'queued', text)

      const [ofA, ofB] = await Promise.all([a!, b!].map((id) => store.history(id, { after: 0, limit: 9 })))
      expect(ofA).toMatchObject([kept, kept])
      expect(ofB).toMatchObject([{ cause: 'client' }, kept])
      expect((await store.transitions({ after: 0, limit: 9 })).transitions).toMatchObject([
        { jobId: a, ...kept },
        { jobId: b, cause: 'client' },
        { jobId: a, ...kept },
        { jobId: b, ...kept },
      ])
      expect((await store.jobFacts(a!))?.lastEvent).toMatchObject(kept)
    })

    test('is stored per job if jobs are stored together', async () => {
      const { store } = await open()
      const causes = [null, text, text, null, JSON.stringify({ cause: 'library' })]

      const stored = ids(await store.enqueue(causes.map((cause) => aJob({ cause }))))

      const histories = await Promise.all(stored.map((id) => store.history(id, { after: 0, limit: 9 })))
      expect(histories.map((events) => events?.[0]?.cause)).toEqual(['client', 'http', 'http', 'client', 'library'])
    })

    test('comes with what the handler noted, of each job where outcomes are stored together', async () => {
      const { store } = await open()
      const stored = ids(await store.enqueue(Array.from({ length: 7 }, () => aJob())))
      const jobs = await store.lease({ limit: 7, wait: false, start: true })

      const notes = ['a', 'a', undefined, 'b "c"', undefined, undefined, 'd']
      const outcomes = jobs.map(({ id, leaseToken }, index): LeaseEvent => {
        const note = notes[index]
        return { id, leaseToken, event: 'succeed', ...(note !== undefined && { note }) }
      })
      const refused = [...(await store.apply(outcomes.slice(0, 2)))]
      refused.push(...(await store.apply(outcomes.slice(2))))

      const ends = await Promise.all(stored.map(async (id) => (await store.jobFacts(id))!.lastEvent))
      expect(refused).toEqual([])
      expect(ends.map(({ note, cause }) => [note, cause])).toEqual(notes.map((note) => [note, 'handler']))
      const { transitions } = await store.transitions({ after: 0, limit: 100 })
      expect(transitions.filter(({ event }) => event === 'succeed').map(({ note }) => note)).toEqual(notes)
    })

    test('is the recovery if it took the lease of a node that is gone', async () => {
      const opened = await open()
      const id = (await bringTo(opened, 'leased', 2)).id

      const { store } = await opened.endNode()

      expect(await store.history(id, { after: 2, limit: 9 })).toMatchObject([{ event: 'expire', cause: 'recovery' }])
    })
  })

  describe('transitions', () => {
    test('are those of all jobs, one after another, as in each history', async () => {
      const { store, clock } = await open()
      const [a, b] = ids(await store.enqueue([aJob(), aJob({ type: 'other', queue: 'mail', delayMs: 60_000 })]))
      const [job] = await store.lease({ limit: 1, wait: false })
      clock.advance(5)
      await settle(store, job!, 'start', 'reject')
      await store.send('cancel', b!)

      const { transitions, last } = await store.transitions({ after: 0, limit: 100 })

      const whose = transitions.map(({ jobId, type, queue, event }) => [jobId, type, queue, event])
      expect(whose).toEqual([
        [a, 'work', 'default', 'enqueue'],
        [b, 'other', 'mail', 'enqueue'],
        [a, 'work', 'default', 'lease'],
        [a, 'work', 'default', 'start'],
        [a, 'work', 'default', 'reject'],
        [b, 'other', 'mail', 'cancel'],
      ])
      const transitionIds = transitions.map(({ id }) => id)
      expect(transitionIds).toEqual(rising(transitionIds))
      expect(last).toBe(transitionIds.at(-1))
      for (const id of [a!, b!]) {
        const own = transitions.filter(({ jobId }) => jobId === id)
        const history = await store.history(id, { after: 0, limit: 100 })
        expect(own.map(({ id: _, jobId: __, type: ___, queue: ____, ...event }) => event)).toEqual(history)
      }
    })

    test('are paged, and continue with new ones', async () => {
      const { store } = await open()
      const [a, b, c] = ids(await store.enqueue([aJob(), aJob(), aJob()]))

      const first = await store.transitions({ after: 0, limit: 2 })
      const second = await store.transitions({ after: first.last, limit: 2 })
      const end = await store.transitions({ after: second.last, limit: 2 })
      const [d] = ids(await store.enqueue([aJob()]))
      const more = await store.transitions({ after: end.last, limit: 2 })

      const pages = [first, second, end, more].map(({ transitions }) => transitions.map(({ jobId }) => jobId))
      expect(pages).toEqual([[a, b], [c], [], [d]])
    })

    test('end with the newest, whatever was requested', async () => {
      const { store } = await open()
      const after = Number.MAX_SAFE_INTEGER

      const before = await store.transitions({ after, limit: 1 })
      await store.enqueue([aJob(), aJob()])
      const now = await store.transitions({ after, limit: 1 })

      expect(before).toEqual({ transitions: [], last: 0 })
      expect(now.transitions).toEqual([])
      const stored = ids(await store.enqueue([aJob()]))
      const { transitions } = await store.transitions({ after: now.last, limit: 10 })
      expect(transitions.map(({ jobId }) => jobId)).toEqual(stored)
    })

    test('all reach a reader that continues from its position, whatever is committed meanwhile', async () => {
      const { store } = await open()
      let isWritten = false
      const write = async () => {
        const stored: number[] = []
        for (let n = 0; n < 20; n++) stored.push(...ids(await store.enqueue([aJob()])))
        for (const id of stored) await store.send('cancel', id)
        return stored
      }
      const read = async () => {
        const told: Transition[] = []
        // What is committed may be kept back for a moment.
        for (let after = 0, empty = 0; empty < 20; await setImmediate()) {
          const { transitions, last } = await store.transitions({ after, limit: 7 })
          // Of a full page not the last two, as a client that was cut off comes back.
          const taken = transitions.slice(0, 5)
          told.push(...taken)
          after = taken.length < transitions.length ? taken.at(-1)!.id : last
          empty = isWritten && transitions.length === 0 ? empty + 1 : 0
        }
        return told
      }

      const reading = read()
      const jobs = (await Promise.all(Array.from({ length: 8 }, write))).flat()
      isWritten = true
      const told = await reading

      const eventsOf = (job: number) => told.flatMap(({ jobId, event }) => (jobId === job ? [event] : []))
      expect(told.map(({ id }) => id)).toEqual(rising(told.map(({ id }) => id)))
      expect(jobs.map(eventsOf)).toEqual(jobs.map(() => ['enqueue', 'cancel']))
    })

    test('that retention removed are gone, and those after them are not', async () => {
      const opened = await open({ retentionMs: 1_000 })
      const { store, clock } = opened
      const gone = await bringTo(opened, 'succeeded', 1)
      const { last } = await store.transitions({ after: Number.MAX_SAFE_INTEGER, limit: 1 })
      const [kept] = ids(await store.enqueue([aJob()]))
      clock.advance(1_000)
      await store.sweep()

      const { transitions } = await store.transitions({ after: 0, limit: 10 })

      expect(await store.find(gone.id)).toBeUndefined()
      expect(transitions.map(({ jobId, id }) => [jobId, id > last])).toEqual([[kept, true]])
    })
  })
}
