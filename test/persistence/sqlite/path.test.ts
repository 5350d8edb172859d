import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openForWriting } from '../../../src/persistence/sqlite/file/connection.ts'
import { Reader } from '../../../src/persistence/sqlite/read/reader.ts'
import { tempFolder } from '../../support/temp.ts'

test('only the last twenty thousand transitions of a job that goes round and round make up its path', () => {
  const db = openForWriting(join(tempFolder(), 'jobs.db'), () => 'id', 0)
  const round = ['queued', 'leased', 'running', 'scheduled']
  const log = db.prepare(`
    INSERT INTO event_runs (id, first_job_id, seq, event, from_state, to_state, attempt, at, previous_id)
    VALUES (:seq, 1, :seq, :event, :from, :to, 0, 0, nullif(:seq - 1, 0))`)
  db.transaction(() => {
    log.run({ seq: 1, event: 'enqueue', from: null, to: 'queued' })
    for (let seq = 2; seq <= 50_001; seq++) {
      const turn = (seq - 2) % 4
      log.run({ seq, event: ['lease', 'start', 'snooze', 'due'][turn], from: round[turn], to: round[(turn + 1) % 4] })
    }
    db.exec(`
      INSERT INTO jobs (type, queue, state, seq, priority, attempt, max_attempts, run_at, created_at, last_event_id)
      VALUES ('work', 'default', 'queued', 50001, 0, 0, 1, 0, 0, 50001)`)
  })()

  const whole = new Reader(db).pathOf({ id: 1, upTo: Number.MAX_SAFE_INTEGER })!
  const early = new Reader(db).pathOf({ id: 1, upTo: 10 })!

  expect([whole.seq, whole.since]).toEqual([50_001, 30_002])
  expect(whole.steps.map(({ count }) => count)).toEqual([5_000, 5_000, 5_000, 5_000])
  expect(whole.steps.at(-1)?.to).toBe('queued')
  expect([early.seq, early.since, early.steps[0]?.event]).toEqual([10, 1, 'enqueue'])
})
