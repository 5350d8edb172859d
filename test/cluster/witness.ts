import { readFileSync } from 'node:fs'
import type pg from 'pg'
import type { JobState } from '../../src/machines/job.ts'

/** How a handler's call ended, by its own account. */
type Outcome = 'ended' | 'threw' | 'rejected' | 'snoozed'

/** What a node, or a client, noted as it happened: its own account, not the queue's. */
export type Line =
  | { readonly what: 'start'; readonly id: number; readonly pid: number; readonly at: number }
  | {
      readonly what: 'effect'
      readonly id: number
      readonly outcome: Outcome
      readonly pid: number
      readonly at: number
    }
  | { readonly what: 'acknowledged'; readonly jobs: readonly (readonly [id: number, key: string])[] }
  | { readonly what: 'cancelled'; readonly id: number }
  | { readonly what: 'fatal'; readonly message: string }

interface Row {
  readonly state: JobState
  readonly key: string
}

/** The event that says so in the history, for each outcome. */
const eventOf: Readonly<Record<Outcome, string>> = {
  ended: 'succeed',
  threw: 'fail',
  rejected: 'reject',
  snoozed: 'snooze',
}

/** What ended a call without an outcome: its node was gone, it was stopped, or it was cancelled. */
const brokeOff = ['expire', 'release', 'cancel']

/** The lines of a witness' file. One that a death cut short does not count. */
export function linesOf(file: string): Line[] {
  const lines: Line[] = []
  for (const text of readFileSync(file, 'utf8').split('\n')) {
    try {
      lines.push(JSON.parse(text))
    } catch {}
  }
  return lines
}

/** What the witnesses and the database disagree about, once everything has ended. */
export async function checkWitness(client: pg.Client, schema: string, lines: readonly Line[]): Promise<string[]> {
  const rows = new Map<number, Row>()
  const found = await client.query(`SELECT id::int AS id, state, idempotency_key AS key FROM ${schema}.jobs`)
  for (const { id, ...row } of found.rows) rows.set(id, row)
  const events = new Map<string, number>()
  const counted = await client.query(
    `SELECT job_id::int AS id, event, count(*)::int AS n FROM ${schema}.job_events GROUP BY 1, 2`,
  )
  for (const { id, event, n } of counted.rows) events.set(`${id} ${event}`, n)
  const count = (id: number, ...names: string[]) =>
    names.reduce((sum, name) => sum + (events.get(`${id} ${name}`) ?? 0), 0)

  const starts = new Map<number, number>()
  const outcomes = new Map<string, number>()
  const acknowledged = new Map<number, string>()
  const wrong: string[] = []
  for (const line of lines) {
    if (line.what === 'fatal') wrong.push(`a node could not go on: ${line.message}`)
    if (line.what === 'start') starts.set(line.id, (starts.get(line.id) ?? 0) + 1)
    if (line.what === 'effect')
      outcomes.set(`${line.id} ${line.outcome}`, (outcomes.get(`${line.id} ${line.outcome}`) ?? 0) + 1)
    if (line.what === 'acknowledged') for (const [id, key] of line.jobs) acknowledged.set(id, key)
    if (line.what === 'cancelled' && rows.get(line.id)?.state !== 'cancelled')
      wrong.push(`job ${line.id} was cancelled and is ${rows.get(line.id)?.state}`)
  }

  for (const [id, key] of acknowledged) {
    if (!rows.has(id)) wrong.push(`job ${id} was acknowledged and is gone`)
    else if (rows.get(id)!.key !== key)
      wrong.push(`job ${id}, acknowledged for ${key}, is that of ${rows.get(id)!.key}`)
  }
  for (const id of starts.keys()) if (!rows.has(id)) wrong.push(`job ${id} was started and does not exist`)
  for (const [id, { state }] of rows) {
    const seen = starts.get(id) ?? 0
    const started = count(id, 'start')
    if (seen > started) wrong.push(`the handler of job ${id} was called ${seen} times, and it has ${started} starts`)
    if (started - seen > count(id, ...brokeOff))
      wrong.push(`job ${id} has ${started} starts, its handler was called ${seen} times, and nothing broke off`)
    for (const [outcome, event] of Object.entries(eventOf)) {
      const told = outcomes.get(`${id} ${outcome}`) ?? 0
      if (count(id, event) > told)
        wrong.push(`job ${id} has "${event}" ${count(id, event)} times, its handler ${outcome} ${told} times`)
    }
    if (count(id, 'succeed') > 1) wrong.push(`job ${id} succeeded ${count(id, 'succeed')} times`)
    if (!['succeeded', 'dead', 'cancelled'].includes(state)) wrong.push(`job ${id} is ${state}`)
  }
  return wrong
}
