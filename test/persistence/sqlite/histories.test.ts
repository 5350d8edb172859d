import type Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { chainFrom, eventAtOrAbove } from '../../../src/persistence/sqlite/read/histories.ts'
import { Reader } from '../../../src/persistence/sqlite/read/reader.ts'
import { markEvery } from '../../../src/persistence/sqlite/schema.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import { aJob } from '../../support/store.ts'
import { leasesOf, newCalls, openWriter, setsOf } from '../../support/writer.ts'

const rounds = 350
/** Enqueued, then leased, started and released this many times. */
const length = 1 + 3 * rounds

/** A file with a job that was retried many times, between two others like it. */
function aFile() {
  const { path, db, commit } = openWriter({ maxQueueDepth: 9 })
  db.pragma('synchronous = OFF')
  commit((writer) => writer.enqueue(newCalls([aJob(), aJob(), aJob()]), 0))
  for (let round = 1; round <= rounds; round++) {
    commit((writer) => {
      const { jobs } = writer.lease([{ limit: 3, start: true }], round)
      writer.apply(setsOf('release', leasesOf(jobs)), round)
    })
  }
  return { db, path, reader: new Reader(db) }
}

/** How many events a page of job 2's history looks at, with those of the way to it. */
function countSteps(db: Database.Database, after: number, limit: number): number {
  const walk = `${chainFrom(eventAtOrAbove(':after + :limit'), 'chain.seq > :after + 1')} SELECT count(*) FROM chain`
  return db.prepare(walk).pluck().get({ id: 2, after, limit }) as number
}

test('a long history is paged without a gap or a duplicate, whatever the size of a page', () => {
  const { reader } = aFile()

  for (const limit of [1, 7, markEvery - 1, markEvery, markEvery + 1, 1_000, 5_000]) {
    const seqs: number[] = []
    for (let after = 0; ; after = seqs.at(-1)!) {
      const page = reader.history(2, { after, limit })!
      if (page.length === 0) break
      expect(page.length).toBe(Math.min(limit, length - after))
      seqs.push(...page.map(({ seq }) => seq))
    }
    expect(seqs).toEqual(Array.from({ length }, (_, index) => index + 1))
  }
})

test('a page is what this job did, and no other', () => {
  const { reader, path } = aFile()

  const page = reader.history(2, { after: 498, limit: 4 })!

  expect(page.map(({ seq, event, from, to, at }) => [seq, event, from, to, at])).toEqual([
    [499, 'release', 'running', 'queued', 166],
    [500, 'lease', 'queued', 'leased', 167],
    [501, 'start', 'leased', 'running', 167],
    [502, 'release', 'running', 'queued', 167],
  ])
  expect(verifyFile(path).violations).toEqual([])
})

test('a page reads only its own events and those between two marks, wherever it begins', () => {
  const { db } = aFile()

  for (const limit of [1, 50, 250]) {
    for (let after = 0; after < length; after += 49) {
      expect(countSteps(db, after, limit)).toBeLessThanOrEqual(limit + markEvery)
    }
  }
})

test('a page beyond the end is empty, and so is that of an unknown job', () => {
  const { reader } = aFile()

  expect(reader.history(2, { after: length, limit: 10 })).toEqual([])
  expect(reader.history(2, { after: 1e9, limit: 10 })).toEqual([])
  expect(reader.history(99, { after: 0, limit: 10 })).toBeUndefined()
})
