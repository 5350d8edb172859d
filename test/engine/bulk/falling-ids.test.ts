import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BulkIds } from '../../../src/engine/bulk/falling-ids.ts'

test('ids come out as they went in, whatever the gaps between them and however they are read', () => {
  const anId = fc.oneof(fc.integer({ min: 1, max: 2_000 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }))
  const falling = fc.uniqueArray(anId, { maxLength: 300 }).map((ids) => ids.sort((a, b) => b - a))
  fc.assert(
    fc.property(falling, fc.nat(300), fc.integer({ min: 1, max: 50 }), (given, split, count) => {
      const ids = new BulkIds()
      ids.add(given.slice(0, split))
      ids.add(given.slice(split))

      const taken: number[][] = []
      for (let next = ids.take(count); next.length > 0; next = ids.take(count)) taken.push(next)

      expect(taken.flat()).toEqual(given)
      expect(taken.slice(0, -1).every(({ length }) => length === count)).toBe(true)
    }),
  )
})
