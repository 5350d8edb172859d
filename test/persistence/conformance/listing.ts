import { describe, expect, test } from 'vitest'
import { aJob } from '../../support/store.ts'
import { bringTo, countIn, ids, leaseOf, type Open, queuedLast, settle } from './helpers.ts'

/** What is kept, and how it is found. */
export function testListing(open: Open): void {
  describe('retention', () => {
    test('removes succeeded and cancelled jobs with their history, and no others', async () => {
      const opened = await open({ retentionMs: 1_000 })
      const kept: number[] = []
      const removed: number[] = []
      for (const state of queuedLast) {
        const { id } = await bringTo(opened, state, 2)
        if (state === 'succeeded' || state === 'cancelled') removed.push(id)
        else kept.push(id)
      }
      const [newest] = ids(await opened.store.enqueue([aJob()]))

      opened.clock.advance(1_000)
      await opened.store.sweep()

      const { jobs } = await opened.store.list({ limit: 100 })
      expect(jobs.map(({ id }) => id).sort((a, b) => a - b)).toEqual([...kept, newest])
      expect(await countIn(opened.store, 'succeeded')).toBe(0)
      for (const id of removed) expect(await opened.store.history(id, { after: 0, limit: 1 })).toBeUndefined()
      // No event is left behind that no job has.
      expect((await opened.store.verify()).violations).toEqual([])
    })

    test('keeps jobs until they ended long enough ago', async () => {
      const opened = await open({ retentionMs: 1_000 })
      // Nothing is removed by a clock that was not steady for as long.
      opened.clock.advance(1_000)
      const job = await bringTo(opened, 'succeeded', 1)
      await opened.store.enqueue([aJob()])

      opened.clock.advance(999)
      await opened.store.sweep()
      const before = await opened.store.find(job.id)
      opened.clock.advance(1)
      await opened.store.sweep()

      expect(before?.state).toBe('succeeded')
      expect(await opened.store.find(job.id)).toBeUndefined()
    })
  })

  describe('list', () => {
    test('pages down the ids, newest first, to the end', async () => {
      const { store } = await open()
      const all = ids(await store.enqueue(Array.from({ length: 5 }, () => aJob())))

      const first = await store.list({ limit: 3 })
      const second = await store.list({ limit: 3, before: first.next! })

      expect([...first.jobs, ...second.jobs].map(({ id }) => id)).toEqual([...all].reverse())
      expect(second.next).toBeNull()
    })

    test('filters by state, type and queue together', async () => {
      const { store } = await open()
      const [, , wanted] = ids(
        await store.enqueue([
          aJob(),
          aJob({ type: 'other' }),
          aJob({ type: 'other', queue: 'mail' }),
          aJob({ queue: 'mail' }),
        ]),
      )

      const { jobs } = await store.list({ limit: 10, state: 'queued', type: 'other', queue: 'mail' })

      expect(jobs.map(({ id }) => id)).toEqual([wanted])
    })

    test('filters by when a job was created: the first instant inclusive, the last exclusive', async () => {
      const { store, clock } = await open()
      const at = clock.now()
      const all: number[] = []
      for (let i = 0; i < 4; i++) {
        all.push(...ids(await store.enqueue([aJob()])))
        clock.advance(1)
      }

      const created = async (given: object) => (await store.list({ limit: 10, ...given })).jobs.map(({ id }) => id)

      expect(await created({ createdFrom: at + 1, createdTo: at + 3 })).toEqual([all[2], all[1]])
      expect(await created({ createdFrom: at + 3 })).toEqual([all[3]])
      expect(await created({ createdTo: at + 1 })).toEqual([all[0]])
      expect(await created({ createdFrom: at + 4 })).toEqual([])
    })

    test('finds what a person sees in a payload, and what is in its JSON, literally', async () => {
      const { store } = await open()
      const all = ids(await store.enqueue(texts.map(([payload]) => aJob({ payload: JSON.stringify(payload) }))))

      const found = await Promise.all(
        texts.map(async ([payload, text], index) => {
          const { jobs } = await store.list({ limit: 100, text })
          return [payload, text, jobs.some(({ id }) => id === all[index])]
        }),
      )

      expect(found).toEqual(texts)
    })

    test('finds a job by its last error, but not by an earlier one', async () => {
      const { store } = await open()
      await store.enqueue([aJob(), aJob()])
      const failing = async (message: string) => {
        const [job] = await store.lease({ limit: 1, wait: false })
        await settle(store, job!, 'start')
        await store.apply([{ ...leaseOf(job!), event: 'fail', error: { name: 'Error', message } }])
        await store.sweep()
        return job!.id
      }

      const id = await failing('550 "no such user" at\nexample.com')
      const found = async (text: string) => (await store.list({ limit: 10, text })).jobs.map((job) => job.id)

      expect(await found('550 "No Such User"')).toEqual([id])
      expect(await found('at\nexample')).toEqual([id])
      expect(await found("550 'no")).toEqual([])
    })

    test('filters by text and everything else together, page by page, without duplicates or gaps', async () => {
      const { store } = await open()
      const all = ids(
        await store.enqueue(
          Array.from({ length: 300 }, (_, n) =>
            aJob({
              payload: n % 3 ? '"needle"' : '"hay"',
              queue: n % 2 ? 'odd' : 'even',
              type: n % 5 ? 'work' : 'other',
            }),
          ),
        ),
      )
      const wanted = all.filter((_, n) => n % 3 !== 0 && n % 2 === 1 && n % 5 !== 0).reverse()

      const found: number[] = []
      for (let before: number | null | undefined; before !== null; ) {
        const filter = { text: 'needle', queue: 'odd', type: 'work', limit: 7 }
        const page = await store.list({ ...filter, ...(before === undefined ? {} : { before }) })
        found.push(...page.jobs.map(({ id }) => id))
        before = page.next
      }

      expect(found).toEqual(wanted)
    })
  })
}

/** A payload, what is searched for, and whether it is found. */
const texts: [unknown, string, boolean][] = [
  [{ say: 'she said "hi"' }, 'said "hi"', true],
  [{ say: 'hi' }, '"say":"hi"', true],
  [{ say: 'hi' }, 'say: hi', false],
  ['a\nb', 'a\nb', true],
  ['a\nb', 'a b', false],
  ['c:\\new', 'c:\\new', true],
  ['c:\\new', 'C:\\NEW', true],
  ['c:/new', 'c:\\new', false],
  ['tab\there', '\t', true],
  ['nul\0byte', 'nul\0byte', true],
  ['100% of it', '100%', true],
  ['100 of it', '100%', false],
  ['100 of it', '1%it', false],
  ['a_b', 'a_b', true],
  ['axb', 'a_b', false],
  ['a!b', 'a!b', true],
  ['*?[a-z]', '*?[a-z]', true],
  ["it's '--", "'s '--", true],
  ['<script>alert(1)</script>', '<SCRIPT>', true],
  ['MiXeD', 'mIxEd', true],
  ['Straße É', 'straße', true],
  ['É', 'é', false],
  ['grüße 🎈🎈', '🎈🎈', true],
  ['🎈', '🎉', false],
  ['lone \ud83c here', '\ud83c', true],
  ['\u2028', '\u2028', true],
  [{ n: [1, 2.5, null, true] }, '[1,2.5,null,true]', true],
  ['x'.repeat(200), 'x'.repeat(200), true],
  ['x'.repeat(199), 'x'.repeat(200), false],
]
