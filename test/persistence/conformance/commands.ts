import { describe, expect, test } from 'vitest'
import type { JobState } from '../../../src/machines/job.ts'
import type { LeasedJob, LeaseEvent } from '../../../src/persistence/store.ts'
import { aJob } from '../../support/store.ts'
import { bringTo, countIn, ids, leaseOf, type Open, queuedLast, settle } from './helpers.ts'

/** What operators ask for. */
export function testCommands(open: Open): void {
  describe('commands', () => {
    test('say which state refused them', async () => {
      const opened = await open()
      const job = await bringTo(opened, 'succeeded', 1)

      expect(await opened.store.send('cancel', job.id)).toEqual({ outcome: 'refused', state: 'succeeded' })
      expect(await opened.store.send('requeue', job.id)).toEqual({ outcome: 'refused', state: 'succeeded' })
      expect(await opened.store.send('cancel', 999)).toEqual({ outcome: 'unknown' })
    })

    test('requeue starts a new life', async () => {
      const opened = await open()
      const job = await bringTo(opened, 'dead', 1)
      opened.clock.advance(5)

      await opened.store.send('requeue', job.id)

      const found = await opened.store.find(job.id)
      expect(found).toMatchObject({
        state: 'queued',
        attempt: 0,
        runAt: opened.clock.now(),
        startedAt: null,
        finishedAt: null,
      })
    })
  })

  describe('a command for many jobs', () => {
    test('changes those that the machine allows, and returns which', async () => {
      const opened = await open()
      const jobs = new Map<JobState, number>()
      for (const state of queuedLast) jobs.set(state, (await bringTo(opened, state, 2)).id)
      const all = [...jobs.values()]

      const cancelled = await opened.store.command('cancel', [999, ...all])
      const requeued = await opened.store.command('requeue', [...all].reverse())

      const inStates = (...states: JobState[]) => states.map((state) => jobs.get(state)!).sort((a, b) => a - b)
      expect(cancelled).toEqual(inStates('scheduled', 'queued', 'leased', 'running', 'retrying', 'dead'))
      expect(requeued).toEqual([...cancelled, ...inStates('cancelled')].sort((a, b) => a - b))
      expect(await countIn(opened.store, 'queued')).toBe(7)
      expect((await opened.store.find(jobs.get('succeeded')!))?.state).toBe('succeeded')
      for (const id of all) {
        const history = await opened.store.history(id, { after: 0, limit: 100 })
        expect(history?.map(({ seq }) => seq)).toEqual(history?.map((_, index) => index + 1))
      }
    })

    test('leaves those that are no longer in its state', async () => {
      const opened = await open()
      const { id: running } = await bringTo(opened, 'running', 2)
      const { id: scheduled } = await bringTo(opened, 'scheduled', 2)

      const moved = await opened.store.command('cancel', [running, scheduled], 'scheduled')

      expect(moved).toEqual([scheduled])
      expect((await opened.store.find(running))?.state).toBe('running')
    })

    test('changes a job that it names twice once', async () => {
      const opened = await open()
      const { id } = await bringTo(opened, 'dead', 1)

      expect(await opened.store.command('requeue', [id, id])).toEqual([id])
      expect((await opened.store.history(id, { after: 0, limit: 100 }))?.at(-1)).toMatchObject({ seq: 5 })
    })

    test('changes nothing if it names no job or no known one', async () => {
      const { store } = await open()

      expect(await store.command('cancel', [])).toEqual([])
      expect(await store.command('requeue', [1, 2, 3])).toEqual([])
    })

    test('takes the leases of all that it cancels, tells their holder exactly those, and refuses late outcomes', async () => {
      const { store, notices } = await open()
      const delayed = ids(await store.enqueue([aJob(), aJob(), aJob(), aJob({ delayMs: 1_000 })]))[3]!
      const [a, b, c] = (await store.lease({ limit: 3, wait: false })) as [LeasedJob, LeasedJob, LeasedJob]
      await settle(store, a, 'start')
      await settle(store, c, 'start', 'succeed')

      const moved = await store.command('cancel', [a.id, b.id, c.id, delayed])

      expect(moved).toEqual([a.id, b.id, delayed])
      expect(notices).toEqual([{ type: 'lost', leases: [a, b].map((job) => ({ ...leaseOf(job), cancelled: true })) }])
      const late: LeaseEvent[] = [
        { ...leaseOf(a), event: 'succeed' },
        { ...leaseOf(b), event: 'start' },
      ]
      expect(await store.apply(late)).toEqual(late)
    })

    test('hands requeued jobs to waiting leases', async () => {
      const opened = await open()
      const { id } = await bringTo(opened, 'dead', 1)
      const waiting = opened.store.lease({ limit: 5, wait: true })

      await opened.store.command('requeue', [id])

      expect((await waiting).map((job) => job.id)).toEqual([id])
    })
  })

  describe('what a command would move', () => {
    test('is what matches and is in a state that allows it, newest first, page by page', async () => {
      const opened = await open()
      const { store } = opened
      const jobs = new Map<JobState, number>()
      for (const state of queuedLast) jobs.set(state, (await bringTo(opened, state, 2)).id)
      await store.enqueue([aJob({ type: 'other', queue: 'mail' })])
      const last = jobs.get('queued')!

      const first = await store.matching({ command: 'cancel', type: 'work', limit: 3 })
      const second = await store.matching({ command: 'cancel', type: 'work', limit: 3, before: first.next! })

      const states = ['scheduled', 'leased', 'running', 'retrying', 'queued'] as const
      expect([...first.ids, ...second.ids]).toEqual(states.map((state) => jobs.get(state)!).sort((a, b) => b - a))
      expect([first.from, second.next]).toEqual([last + 1, null])
      expect((await store.matching({ command: 'requeue', limit: 9 })).ids).toHaveLength(2)
      expect((await store.matching({ command: 'cancel', state: 'dead', limit: 9 })).ids).toEqual([jobs.get('dead')])
      expect((await store.matching({ command: 'requeue', state: 'dead', limit: 9 })).ids).toEqual([jobs.get('dead')])
      expect((await store.matching({ command: 'requeue', state: 'queued', limit: 9 })).ids).toEqual([])
      expect(await store.matching({ command: 'cancel', before: 1, limit: 9 })).toEqual({
        ids: [],
        from: null,
        next: null,
      })
    })
  })
}
