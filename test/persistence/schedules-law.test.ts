import { afterAll, describe, expect, test } from 'vitest'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { aConnection, openPostgres } from '../support/postgres.ts'
import { aMove, aScheduleIn, scheduleIn } from '../support/schedules.ts'
import { aJob, type OpenedStore, openStore, startAt } from '../support/store.ts'
import { cleanUp, whenDone } from '../support/temp.ts'

afterAll(cleanUp)

/** A store of each kind, and a client of its database that knows nothing of jobmachine. */
const kinds: readonly (readonly [string, () => Promise<OpenedStore & { run(sql: string): unknown }>])[] = [
  [
    'SQLite',
    async () => {
      const opened = await openStore()
      const db = openKept(opened.path)
      whenDone(() => db.close())
      return { ...opened, run: async (sql) => db.exec(sql) }
    },
  ],
  [
    'PostgreSQL',
    async () => {
      const opened = await openPostgres()
      const client = await aConnection({ schema: opened.path })
      return { ...opened, run: (sql) => client.query(sql) }
    },
  ],
]

const later = startAt + 60_000
const insertEvent = (event: string, more = 'NULL, NULL', seq = 3) =>
  `INSERT INTO schedule_events (schedule_id, seq, event, from_state, to_state, at, tick, job_id) VALUES (1, ${seq}, '${event}', 'active', 'active', 0, ${more})`

describe.each(kinds)('the law of schedules on %s', (_, open) => {
  test.each([
    [
      'a state that its machine does not lead to',
      `UPDATE schedules SET state = 'ended', next_tick = NULL, seq = 3`,
      /no edge/,
    ],
    ['a state that there is not', `UPDATE schedules SET state = 'asleep'`, /state|no edge/],
    [
      'a tick that advances without its event',
      `UPDATE schedules SET last_tick = ${later}, next_tick = ${later} + 1, seq = 3`,
      /no edge/,
    ],
    ['a last tick that goes back', 'UPDATE schedules SET last_tick = last_tick - 1', /never goes back/],
    ['another rule without its event', `UPDATE schedules SET spec = '{"a":1}'`, /no edge/],
    ['another name', `UPDATE schedules SET name = 'other'`, /no edge/],
    [
      'a schedule without its history',
      `INSERT INTO schedules (id, name, state, seq, source, spec, overlap, since, last_tick, tz_version, created_at, updated_at)
      VALUES (9, 'made up', 'active', 1, 'api', '{}', 'allow', 0, 0, '', 0, 0)`,
      /stored with its history/,
    ],
    ['the end of one that lives', 'DELETE FROM schedules', /only schedules that have ended/],
    ['a tick without a job', insertEvent('tick', `${later}, NULL`), /CHECK|constraint/],
    ['a tick whose job is not there', insertEvent('tick', `${later}, 77777`), /stored with its job/],
    ['a tick that made a job before', insertEvent('skip', `${startAt}, NULL`), /UNIQUE|unique/],
    ['an event that its machine does not have', insertEvent('resume'), /CHECK|constraint/],
    ['a change of its history', 'UPDATE schedule_events SET tick = 5', /history is not rewritten/],
    ['the end of its newest event', 'DELETE FROM schedule_events', /newest event of a schedule/],
  ])('refuses %s', async (_what, sql, message) => {
    const { store, run } = await open()
    const kept = await aScheduleIn(store, 'a', { lastTick: startAt - 1 })
    await store.schedules.move([
      aMove(kept, 'tick', { tick: startAt, job: aJob(), plan: { lastTick: startAt, nextTick: later } }),
    ])

    await expect(Promise.resolve().then(() => run(sql))).rejects.toThrow(message)

    expect(await scheduleIn(store, 'a')).toMatchObject({ seq: 2, lastTick: startAt, nextTick: later })
  })

  test('is watched by verify', async () => {
    const { store, run } = await open()
    const kept = await aScheduleIn(store, 'a', { lastTick: startAt - 1 })
    await store.schedules.move([
      aMove(kept, 'tick', { tick: startAt, job: aJob(), plan: { lastTick: startAt, nextTick: later } }),
    ])
    const isFile = !store.durability.includes('PostgreSQL')
    for (const trigger of ['schedules_take_edges', 'schedule_events_are_final'])
      await run(
        isFile
          ? `DROP TRIGGER ${trigger}`
          : `ALTER TABLE ${trigger === 'schedules_take_edges' ? 'schedules' : 'schedule_events'} DISABLE TRIGGER ${trigger}`,
      )

    await run(`UPDATE schedules SET state = 'paused', next_tick = NULL, seq = 5, last_tick = ${startAt - 1}`)
    const { violations } = await store.verify()

    expect(violations.filter(({ invariant }) => invariant === 'I11').map(({ message }) => message)).toEqual([
      'schedule a (1): the row has state paused, its history leads to active',
      'schedule a (1): the row has seq 5, its history leads to 2',
      `schedule a (1): seq 2 has the tick ${startAt}, after the last one, ${startAt - 1}`,
    ])
  })
})
