import { describe, expect, test } from 'vitest'
import type { JobState } from '../../../src/machines/job.ts'
import { aJob, type OpenedStore } from '../../support/store.ts'
import { bringTo, countIn, ids, type Open, settle } from './helpers.ts'

/** Jobs of `type` that ended so, oldest first; then one that waits, so that none has the newest transition. */
async function ended(opened: OpenedStore, state: JobState, count: number, type = 'work'): Promise<number[]> {
  const { store } = opened
  const made: number[] = []
  for (let n = 0; n < count; n++) {
    if (type === 'work') {
      made.push((await bringTo(opened, state, 1)).id)
      continue
    }
    const [id] = ids(await store.enqueue([aJob({ type, priority: 100 })]))
    const [job] = await store.lease({ limit: 1, wait: false, start: true })
    await settle(store, job!, state === 'dead' ? 'reject' : 'succeed')
    made.push(id!)
  }
  await store.enqueue([aJob({ delayMs: 1e12 })])
  return made
}

/** Lets time pass, and retention do all it can. */
async function pass({ store, clock }: OpenedStore, ms: number): Promise<void> {
  clock.advance(ms)
  for (let step = 0; step < 3; step++) await store.sweep()
}

async function left({ store }: OpenedStore, among: readonly number[]): Promise<number[]> {
  const found = await Promise.all(among.map((id) => store.find(id)))
  return found.flatMap((job) => job?.id ?? [])
}

/** How long ended jobs are kept, by state, type, age and number. */
export function testRetention(open: Open): void {
  describe('retention by state and type', () => {
    test('keeps jobs of each state for its own time, and dead ones for ever unless it says so', async () => {
      const opened = await open({ retentionMs: 5_000, retention: { succeeded: { ms: 1_000 } } })
      await pass(opened, 1_000)
      const [succeeded, cancelled, dead] = [
        await ended(opened, 'succeeded', 1),
        await ended(opened, 'cancelled', 1),
        await ended(opened, 'dead', 1),
      ]
      const all = [...succeeded, ...cancelled, ...dead]

      await pass(opened, 999)
      expect(await left(opened, all)).toEqual(all)
      await pass(opened, 1)
      expect(await left(opened, all)).toEqual([...cancelled, ...dead])
      await pass(opened, 4_000)
      expect(await left(opened, all)).toEqual(dead)
      await pass(opened, 1e10)
      expect(await left(opened, all)).toEqual(dead)
      expect((await opened.store.verify()).violations).toEqual([])
    })

    test('removes dead jobs with all that is theirs if it says for how long they are kept', async () => {
      const opened = await open({ retention: { dead: { ms: 2_000 } } })
      await pass(opened, 2_000)
      const dead = await ended(opened, 'dead', 3)
      const kept = [...(await ended(opened, 'succeeded', 1)), ...(await ended(opened, 'cancelled', 1))]

      await pass(opened, 1_999)
      expect(await left(opened, dead)).toEqual(dead)
      await pass(opened, 1)

      expect(await left(opened, [...dead, ...kept])).toEqual(kept)
      expect(await countIn(opened.store, 'dead')).toBe(0)
      expect(await opened.store.history(dead[0]!, { after: 0, limit: 9 })).toBeUndefined()
      expect((await opened.store.verify()).violations).toEqual([])
    })

    test('does not remove a dead job that was requeued meanwhile', async () => {
      const opened = await open({ retention: { dead: { ms: 2_000 } } })
      await pass(opened, 2_000)
      const [dead] = await ended(opened, 'dead', 1)
      await pass(opened, 1_000)
      await opened.store.send('requeue', dead!)

      await pass(opened, 5_000)

      expect(await opened.store.find(dead!)).toMatchObject({ state: 'queued' })
    })

    test('of a type overrides that of its state, in each bound by itself', async () => {
      const opened = await open({
        retentionMs: 1_000,
        retention: {
          succeeded: { count: 1 },
          types: { other: { succeeded: { ms: 0 } }, work: { succeeded: { count: 3 } } },
        },
      })
      await pass(opened, 1_000)
      const work = await ended(opened, 'succeeded', 4)
      const other = await ended(opened, 'succeeded', 2, 'other')

      await pass(opened, 0)
      expect(await left(opened, [...work, ...other])).toEqual([...work.slice(1), ...other.slice(1)])
      await pass(opened, 1_000)

      expect(await left(opened, [...work, ...other])).toEqual(other.slice(1))
    })

    test('by number keeps the newest, whatever their age, and counts each kind for itself', async () => {
      const opened = await open({
        retention: { succeeded: { count: 2 }, dead: { count: 1 }, types: { other: { dead: { count: 2 } } } },
      })
      const succeeded = await ended(opened, 'succeeded', 4)
      const dead = await ended(opened, 'dead', 3)
      const others = await ended(opened, 'dead', 3, 'other')
      const cancelled = await ended(opened, 'cancelled', 3)
      const all = [...succeeded, ...dead, ...others, ...cancelled]

      await pass(opened, 3_599_000)
      expect(await left(opened, all)).toEqual(all)
      await pass(opened, 1_000)

      expect(await left(opened, all)).toEqual([
        ...succeeded.slice(2),
        ...dead.slice(2),
        ...others.slice(1),
        ...cancelled,
      ])
      const more = await ended(opened, 'succeeded', 1)
      await pass(opened, 0)
      expect(await left(opened, [...succeeded, ...more])).toEqual([succeeded[3], ...more])
      expect((await opened.store.verify()).violations).toEqual([])
    })

    test('by number walks through more jobs than one step looks at', async () => {
      const opened = await open({ retention: { cancelled: { count: 1_700 } } })
      const { store } = opened
      const made: number[] = []
      for (let n = 0; n < 5; n++) made.push(...ids(await store.enqueue(Array.from({ length: 500 }, () => aJob()))))
      for (let n = 0; n < 5; n++) await store.command('cancel', made.slice(500 * n, 500 * (n + 1)))
      await store.enqueue([aJob({ delayMs: 1e12 })])

      await pass(opened, 3_600_000)

      expect(await countIn(store, 'cancelled')).toBe(1_700)
      expect(await store.find(made[799]!)).toBeUndefined()
      expect(await store.find(made[800]!)).toBeDefined()
      expect((await store.verify()).violations).toEqual([])
    })
  })
}
