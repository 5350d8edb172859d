import { describe, expect, test } from 'vitest'
import type { LeasedJob } from '../../../src/persistence/store.ts'
import { aJob } from '../../support/store.ts'
import { ids, leaseOf, type Node, type Open, settle } from './helpers.ts'

const start = { wait: false, start: true } as const
/** How long a suspect runs alone. */
const exclusiveMs = 2_000

/** Jobs that ran when the process ended. */
export function testSuspects(open: Open): void {
  describe('a job that runs when the process ends', () => {
    test('comes back at once, with its attempts unchanged, and the crash counted', async () => {
      const opened = await open()
      const [id] = ids(await opened.store.enqueue([aJob({ maxAttempts: 1 })]))

      const { store } = await crash(opened)

      expect(await store.find(id!)).toMatchObject({ state: 'queued', attempt: 0, crashes: 1 })
    })

    test('says in its history which crash it was, and how many jobs ran beside it', async () => {
      const opened = await open()
      const [id] = ids(await opened.store.enqueue([aJob(), aJob(), aJob()]))

      const { store } = await crash(opened, 3)

      const history = (await store.history(id!, { after: 0, limit: 99 }))!
      const told = history.filter(({ event }) => event === 'expire').map(({ error }) => error)

      expect(told).toEqual([
        { name: 'ProcessEndedError', message: 'the process ended while it ran; 2 others ran beside it at that moment' },
        {
          name: 'ProcessEndedError',
          message: 'the process ended while it ran, for the second time; 2 others ran beside it at that moment',
        },
        { name: 'ProcessEndedError', message: 'the process ended while it ran, for the third time; it ran alone' },
      ])
    })

    test('is given back and counts no crash if the process was being stopped, however often', async () => {
      let node: Node = await open()
      const jobs = ids(await node.store.enqueue([aJob(), aJob()]))
      for (let stops = 0; stops < 5; stops++) {
        await node.store.lease({ limit: 1, ...start })
        await node.store.lease({ limit: 1, wait: false })
        await node.store.noteStop()
        const { found, ...next } = await node.endNode()
        expect(found).toMatchObject({ leased: 1, running: 1, suspects: 0, wasStopping: true })
        node = next
      }

      const { store } = node
      expect(await Promise.all(jobs.map((id) => store.find(id)))).toMatchObject([
        { state: 'queued', attempt: 0, crashes: 0, error: null },
        { state: 'queued', attempt: 0, crashes: 0, error: null },
      ])
      const history = await store.history(jobs[0]!, { after: 0, limit: 4 })
      expect(history?.map(({ event }) => event)).toEqual(['enqueue', 'lease', 'start', 'release'])
    })

    test('counts its crash again after a start that followed a stop', async () => {
      const opened = await open()
      const [id] = ids(await opened.store.enqueue([aJob()]))
      await opened.store.lease({ limit: 1, ...start })
      await opened.store.noteStop()

      const { store } = await crash(await opened.endNode())

      expect(await store.find(id!)).toMatchObject({ state: 'queued', attempt: 0, crashes: 1 })
    })

    test('stays a suspect if the process was being stopped', async () => {
      const { first, ...before } = await suspects(open, 1)
      await before.store.enqueue([aJob({ priority: 9 })])
      await before.store.lease({ limit: 9, ...start })
      await before.store.noteStop()

      const { store, found } = await before.endNode()

      expect(found).toMatchObject({ running: 1, suspects: 1 })
      expect(await store.find(first)).toMatchObject({ state: 'queued', crashes: 2 })
      expect(idsOf(await store.lease({ limit: 9, ...start }))).toEqual([first])
    })

    test('counts its crash if only the next start was stopped, before it had recovered', async () => {
      const { store, path, clock } = await open()
      const [id] = ids(await store.enqueue([aJob()]))
      await store.lease({ limit: 1, ...start })
      await store.close()
      const { store: next } = await open({ path, clock })
      await next.noteStop()

      await next.recoverOrphans()

      expect(await next.find(id!)).toMatchObject({ state: 'queued', crashes: 1 })
    })

    test('is dead after its fourth crash, whatever its attempts, and starts a new life when it is requeued', async () => {
      const opened = await open()
      const [id] = ids(await opened.store.enqueue([aJob({ maxAttempts: 100 })]))
      const { store } = await crash(opened, 4)

      const dead = await store.find(id!)
      const requeued = await store.send('requeue', id!)

      expect(dead).toMatchObject({ state: 'dead', attempt: 0, crashes: 4 })
      expect(dead?.error?.message).toMatch(
        /for the fourth time; it ran alone, so it counts as the cause \(correct its handler, then requeue it\)$/,
      )
      expect(requeued).toMatchObject({ job: { state: 'queued', attempt: 0, crashes: 0 } })
      expect(await store.lease({ limit: 1, ...start })).toHaveLength(1)
    })

    test.each(['fail', 'snooze'] as const)(
      'has no crashes any more when an attempt of it ends by %s',
      async (event) => {
        const opened = await open()
        await opened.store.enqueue([aJob(), aJob()])
        const { store, clock } = await crash(opened, 2)
        const [suspect] = await store.lease({ limit: 2, ...start })

        await store.apply([{ ...leaseOf(suspect!), event, delayMs: 10 }])

        expect(await store.find(suspect!.id)).toMatchObject({ crashes: 0 })
        clock.advance(10)
        await store.sweep()
        await settle(store, (await store.lease({ limit: 9, ...start }))[0]!, 'succeed')
        expect(await store.lease({ limit: 9, ...start })).toHaveLength(1)
      },
    )
  })

  describe('a suspect, which was running at two crashes or more,', () => {
    test('runs before all other jobs, and alone', async () => {
      const { store, first } = await suspects(open, 2)
      await store.enqueue([aJob({ priority: 9, queue: 'a' })])

      const alone = await store.lease({ limit: 9, ...start })
      const beside = await store.lease({ limit: 9, ...start })

      expect([idsOf(alone), idsOf(beside)]).toEqual([[first], []])
    })

    test('makes way for the next when it has ended, and the last one for all others', async () => {
      const { store, first, second } = await suspects(open, 2)
      const others = ids(await store.enqueue([aJob(), aJob()]))

      const order: number[][] = []
      for (let next = await store.lease({ limit: 9, ...start }); next.length > 0; ) {
        order.push(idsOf(next))
        for (const job of next) await settle(store, job, 'succeed')
        next = await store.lease({ limit: 9, ...start })
      }

      expect(order).toEqual([[first], [second], others])
    })

    test('makes way when it has run for two seconds, and no sooner', async () => {
      const { store, clock, second } = await suspects(open, 2)
      const other = ids(await store.enqueue([aJob()]))
      await store.lease({ limit: 9, ...start })

      clock.advance(exclusiveMs - 1)
      const before = await store.lease({ limit: 9, ...start })
      clock.advance(1)
      const next = await store.lease({ limit: 9, ...start })
      clock.advance(exclusiveMs)
      const last = await store.lease({ limit: 9, ...start })

      expect([before, next, last].map(idsOf)).toEqual([[], [second], other])
    })

    test('wakes waiting leases when its time is over', async () => {
      const { store, clock } = await suspects(open, 1)
      const other = ids(await store.enqueue([aJob()]))
      await store.lease({ limit: 1, ...start })
      const waiting = store.lease({ limit: 1, wait: true, start: true })
      // Asked after it, and answered: so that one waits.
      const before = await store.lease({ limit: 1, ...start })

      clock.advance(exclusiveMs)

      expect([before, await waiting].map(idsOf)).toEqual([[], other])
    })

    test('wakes waiting leases when it has ended', async () => {
      const { store } = await suspects(open, 1)
      const other = ids(await store.enqueue([aJob()]))
      const [suspect] = await store.lease({ limit: 1, ...start })
      const waiting = store.lease({ limit: 1, wait: true, start: true })

      await settle(store, suspect!, 'succeed')

      expect(idsOf(await waiting)).toEqual(other)
    })

    test('runs sooner the more crashes it has, and with three of them runs alone to its end', async () => {
      const { first, second, ...before } = await suspects(open, 2)
      await before.store.lease({ limit: 1, ...start })
      before.clock.advance(exclusiveMs)
      await before.store.lease({ limit: 1, ...start })
      await before.store.enqueue([aJob({ priority: 9 })])
      // Both ran: three crashes each. The first fails by itself, and is no suspect any more.
      const { store, clock } = await before.endNode()

      const [alone] = await store.lease({ limit: 9, ...start })
      clock.advance(3_600_000)
      const meanwhile = await store.lease({ limit: 9, ...start })
      await settle(store, alone!, 'succeed')
      const next = await store.lease({ limit: 9, ...start })

      expect([alone!.id, idsOf(meanwhile), idsOf(next)]).toEqual([first, [], [second]])
      expect((await store.find(second))?.crashes).toBe(3)
    })

    test('with three crashes makes others wait however long it runs', async () => {
      const { store, clock } = await crash(await suspects(open, 1))
      const other = ids(await store.enqueue([aJob()]))
      const [suspect] = await store.lease({ limit: 9, ...start })

      clock.advance(3_600_000)
      const meanwhile = await store.lease({ limit: 9, ...start })
      await settle(store, suspect!, 'succeed')

      expect([meanwhile, await store.lease({ limit: 9, ...start })].map(idsOf)).toEqual([[], other])
    })

    test('that was given back stays one, and runs first again', async () => {
      const { store, first } = await suspects(open, 1)
      await store.enqueue([aJob({ priority: 9 })])
      const [suspect] = await store.lease({ limit: 9, ...start })

      await settle(store, suspect!, 'release')

      expect(await store.find(first)).toMatchObject({ state: 'queued', attempt: 0, crashes: 2 })
      expect(idsOf(await store.lease({ limit: 9, ...start }))).toEqual([first])
    })

    test('that is cancelled makes way, whether queued or running', async () => {
      const { store, first, second, third } = await suspects(open, 3)
      const other = ids(await store.enqueue([aJob()]))
      await store.lease({ limit: 9, ...start })

      await store.command('cancel', [first, second])
      const next = await store.lease({ limit: 9, ...start })
      await store.send('cancel', third)

      expect([idsOf(next), idsOf(await store.lease({ limit: 9, ...start }))]).toEqual([[third], other])
    })

    test('that is requeued no longer is one', async () => {
      const { store, first } = await suspects(open, 1)
      await store.send('cancel', first)
      await store.send('requeue', first)
      const other = ids(await store.enqueue([aJob()]))

      expect(idsOf(await store.lease({ limit: 9, ...start }))).toEqual([first, ...other])
    })

    test('makes way if the clock was set back to before its start', async () => {
      const { store, clock } = await suspects(open, 1)
      const other = ids(await store.enqueue([aJob()]))
      await store.lease({ limit: 9, ...start })

      clock.advance(-3_600_000)

      expect(idsOf(await store.lease({ limit: 9, ...start }))).toEqual(other)
    })

    test('whose type has no handler here is set aside, which is reported, and delays nobody', async () => {
      const { store, path, clock, first } = await suspects(open, 2, 'other')
      await store.enqueue([aJob()])
      await store.close()
      const here = await open({ path, clock, types: ['work'] })

      const leased = await here.store.lease({ limit: 9, ...start })

      expect(leased.map(({ type }) => type)).toEqual(['work'])
      expect(here.notices).toContainEqual({ type: 'unhandled', types: ['other'], count: 2 })
      await here.store.close()
      const back = await open({ path, clock, types: ['work', 'other'] })
      await back.store.sweep()
      expect(idsOf(await back.store.lease({ limit: 9, ...start }))).toEqual([first])
    })

    test('is still one after a restart', async () => {
      const { store, path, clock, first } = await suspects(open, 1)
      await store.enqueue([aJob({ priority: 9 })])
      await store.close()

      const { store: next } = await open({ path, clock })

      expect(idsOf(await next.lease({ limit: 9, ...start }))).toEqual([first])
    })
  })
}

/** A node with so many jobs that have run at two crashes, three at most, and their ids. */
async function suspects(open: Open, count: number, type = 'work') {
  const opened = await open()
  const jobs = Array.from({ length: count }, () => aJob({ type, maxAttempts: 3 }))
  const [first, second, third] = ids(await opened.store.enqueue(jobs))
  return { ...(await crash(opened, 2)), first: first!, second: second!, third: third! }
}

/** What may run now runs, and its node ends, so many times. */
async function crash(node: Node, times = 1): Promise<Node> {
  if (times === 0) return node
  await node.store.lease({ limit: 9, ...start })
  return crash(await node.endNode(), times - 1)
}

function idsOf(jobs: readonly LeasedJob[]): number[] {
  return jobs.map(({ id }) => id)
}
