import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isWhole } from '../support/share.ts'
import { tempFolder } from '../support/temp.ts'
import { Samples } from './figures.ts'
import { soak } from './soak.ts'

// A small part of `npm run soak`, in `npm run test:proof`, where nothing else uses the machine, because its result depends on that. So few
// samples cannot show what is flat.
test.runIf(isWhole)(
  'a server under loads of every kind, stopped and killed in turn, loses nothing and drains',
  {
    timeout: 3_600_000,
  },
  async () => {
    const said: string[] = []

    const { violations, trends, ends, acknowledged, starts } = await soak({
      lengthMs: 20_000,
      seed: Date.now() % 2 ** 31,
      folder: join(tempFolder(), 'soak'),
      say: (line) => said.push(line),
    })

    expect(violations).toEqual([])
    expect(ends.sigterm).toBeGreaterThan(0)
    expect(ends.sigkill).toBeGreaterThan(0)
    expect(acknowledged).toBeGreaterThan(20)
    expect(starts).toBeGreaterThan(20)
    expect(trends.map(({ figure }) => figure.name)).toContain('descriptors')
    expect(said.join('\n')).toMatch(/RSS .* MB/)
  },
)

describe('a figure that is sampled', () => {
  const lengthMs = 2_400_000
  /** Each second of forty minutes, with the sawtooth of collections. */
  const sampled = (name: 'rss' | 'heap' | 'descriptors' | 'startWorst', value: (minutes: number) => number) => {
    const samples = new Samples(lengthMs)
    for (let at = 0; at < lengthMs; at += 1_000) samples.add(name, at, value(at / 60_000) + ((at / 1_000) % 17))
    return samples.trend(name)
  }

  test('is flat if it goes up and down, even at another level in the first half', () => {
    expect(sampled('rss', (minutes) => (minutes < 20 ? 20 * minutes : 200))).toMatchObject({ isFlat: true })
  })

  test.each([
    ['rss', 2],
    ['heap', 1],
    ['descriptors', 0.5],
    ['startWorst', 10],
  ] as const)('is not flat if it grows: %s, by %d a minute', (name, slope) => {
    const { growth, isFlat } = sampled(name, (minutes) => 50 + slope * minutes)

    expect(isFlat).toBe(false)
    expect(growth).toBeCloseTo(20 * slope, 0)
  })

  test('is not flat if there was nothing to sample', () => {
    expect(new Samples(lengthMs).trend('rss')).toMatchObject({ isFlat: false })
  })
})
