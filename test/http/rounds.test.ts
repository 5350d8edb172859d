import { describe, expect, test } from 'vitest'
import { Rounds } from '../../src/http/rounds.ts'

/** Pieces of work of 1 ms each, done in rounds; time passes only by them. */
function someWork() {
  let now = 0
  let round = 0
  let isCounting = false
  const rounds = new Rounds(() => now)
  const done: [name: string, round: number][] = []
  const run = async (name: string, size: number) => {
    if (rounds.isFull(size)) await rounds.turn(size)
    return rounds.spend(async () => {
      now += 1
      done.push([name, round])
      if (isCounting) return
      isCounting = true
      setImmediate(() => {
        isCounting = false
        round++
      })
    })
  }
  return { rounds, done, run }
}

describe('work for simultaneous requests', () => {
  test('takes some 3 ms of two rounds, and the rest waits for the next two', async () => {
    const { done, run } = someWork()

    await Promise.all(Array.from({ length: 10 }, (_, n) => run(`${n}`, 9_000)))

    const inRound = (which: number) => done.filter(([, round]) => round === which).length
    expect(done).toHaveLength(10)
    expect(Math.max(...done.map(([, round]) => inRound(round)))).toBe(3)
  })

  test('starts with the request that waited for longest, and then the smallest', async () => {
    const { done, run } = someWork()

    await Promise.all([
      ...['a', 'b', 'c'].map((name) => run(name, 9_000)),
      ...['large 1', 'large 2', 'large 3', 'large 4'].map((name) => run(name, 9_000)),
      run('small', 2_000),
    ])

    expect(done.map(([name]) => name)).toEqual(['a', 'b', 'c', 'large 1', 'small', 'large 2', 'large 3', 'large 4'])
  })

  test('continues if some of it fails', async () => {
    const { done, rounds, run } = someWork()
    const failing = async () => {
      if (rounds.isFull(9_000)) await rounds.turn(9_000)
      return rounds.spend(() => {
        throw new Error('no JSON')
      })
    }

    const works = [...Array.from({ length: 4 }, (_, n) => run(`${n}`, 9_000)), failing(), run('last', 9_000)]
    const ends = await Promise.allSettled(works)

    expect(ends[4]?.status).toBe('rejected')
    expect(done.at(-1)?.[0]).toBe('last')
  })

  test('does not make a tiny body wait until tiny ones have taken 10 ms themselves', async () => {
    const { done, run } = someWork()

    await Promise.all([
      ...Array.from({ length: 5 }, (_, n) => run(`large ${n}`, 9_000)),
      ...Array.from({ length: 8 }, (_, n) => run(`tiny ${n}`, 60)),
    ])

    expect(done.slice(0, 10).map(([name, round]) => [name, round])).toEqual([
      ...[0, 1, 2].map((n) => [`large ${n}`, 0]),
      ...[0, 1, 2, 3, 4, 5, 6].map((n) => [`tiny ${n}`, 0]),
    ])
  })
})
