import { describe, expect, test } from 'vitest'
import { jobStates } from '../../../src/machines/edges.ts'
import { aJob } from '../../support/store.ts'
import { bringTo, countIn, ids, type Open, queuedLast, settle } from './helpers.ts'

/** What has happened. */
export function testHistory(open: Open): void {
  describe('counts', () => {
    test('are what the jobs add up to', async () => {
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
    test('is every edge that it took, how often, the last one last', async () => {
      const { store } = await open()
      const [id] = ids(await store.enqueue([aJob({ maxAttempts: 2 })]))
      for (let attempt = 1; attempt <= 2; attempt++) {
        await store.sweep()
        const [job] = await store.lease({ room: 1, wait: false })
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

    test('ends where it is asked to, or where the job is', async () => {
      const { store } = await open()
      const [id, other] = ids(await store.enqueue([aJob(), aJob({ delayMs: 1_000 })]))
      const [job] = await store.lease({ room: 1, wait: false })
      await settle(store, job!, 'start', 'succeed')

      const leased = await store.pathOf(id!, 2)
      const beyond = await store.pathOf(other!, 99)

      expect([leased?.seq, leased?.steps.at(-1)]).toEqual([
        2,
        { from: 'queued', event: 'lease', to: 'leased', count: 1 },
      ])
      expect([beyond?.seq, beyond?.steps.length]).toEqual([1, 1])
    })

    test('is none of an unknown job', async () => {
      const { store } = await open()

      expect(await store.pathOf(1, 1)).toBeUndefined()
    })
  })

  describe('transitions', () => {
    test('are those of all jobs in the order of their commits, as each history has them', async () => {
      const { store, clock } = await open()
      const [a, b] = ids(await store.enqueue([aJob(), aJob({ type: 'other', queue: 'mail', delayMs: 60_000 })]))
      const [job] = await store.lease({ room: 1, wait: false })
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
      expect(transitionIds).toEqual([...new Set(transitionIds)].sort((one, other) => one - other))
      expect(last).toBe(transitionIds.at(-1))
      for (const id of [a!, b!]) {
        const own = transitions.filter(({ jobId }) => jobId === id)
        const history = await store.history(id, { after: 0, limit: 100 })
        expect(own.map(({ id: _, jobId: __, type: ___, queue: ____, ...event }) => event)).toEqual(history)
      }
    })

    test('are paged, and go on with those that come', async () => {
      const { store } = await open()
      await store.enqueue([aJob(), aJob(), aJob()])

      const first = await store.transitions({ after: 0, limit: 2 })
      const second = await store.transitions({ after: first.last, limit: 2 })
      const end = await store.transitions({ after: second.last, limit: 2 })
      await store.enqueue([aJob()])
      const more = await store.transitions({ after: end.last, limit: 2 })

      const pages = [first, second, end, more].map(({ transitions }) => transitions.map(({ jobId }) => jobId))
      expect(pages).toEqual([[1, 2], [3], [], [4]])
    })

    test('end with the newest, whatever was asked for', async () => {
      const { store } = await open()
      const after = Number.MAX_SAFE_INTEGER

      const before = await store.transitions({ after, limit: 1 })
      await store.enqueue([aJob(), aJob()])
      const now = await store.transitions({ after, limit: 1 })

      expect(before).toEqual({ transitions: [], last: 0 })
      expect(now.transitions).toEqual([])
      await store.enqueue([aJob()])
      const { transitions } = await store.transitions({ after: now.last, limit: 10 })
      expect(transitions.map(({ jobId }) => jobId)).toEqual([3])
    })

    test('that retention removed are gone, and those after them are not', async () => {
      const opened = await open({ retentionMs: 1_000 })
      const { store, clock } = opened
      const gone = await bringTo(opened, 'succeeded', 1)
      const { last } = await store.transitions({ after: Number.MAX_SAFE_INTEGER, limit: 1 })
      const [kept] = ids(await store.enqueue([aJob()]))
      clock.advance(1_000)
      await store.sweep()

      const { transitions } = await store.transitions({ after: 1, limit: 10 })

      expect(await store.find(gone.id)).toBeUndefined()
      expect(transitions.map(({ jobId, id }) => [jobId, id > last])).toEqual([[kept, true]])
    })
  })
}
