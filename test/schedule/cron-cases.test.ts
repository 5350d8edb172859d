import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseCron } from '../../src/schedule/cron.ts'
import { nextCronTick } from '../../src/schedule/cron-ticks.ts'
import { Zone, zoneIssues } from '../../src/schedule/zone.ts'

interface Case {
  readonly id: number
  readonly topic: string
  readonly expression: string
  readonly zone: string
  readonly after: string
  /** The first ticks after it. */
  readonly next?: readonly string[]
  /** Whether the expression or the zone is refused. */
  readonly error?: true
  readonly why: string
}

const cases: readonly Case[] = JSON.parse(readFileSync(join(import.meta.dirname, 'cron-cases.json'), 'utf8'))

describe('each case of the table, in which other schedulers were measured', () => {
  test.each(cases.filter(({ error }) => !error))('$id: $topic, $expression in $zone: $why', (asked) => {
    const cron = parseCron(asked.expression, 'cron')
    if (Array.isArray(cron)) throw new Error(cron[0]!.message)

    const ticks: string[] = []
    for (let at = Date.parse(asked.after); ticks.length < asked.next!.length; ) {
      at = nextCronTick(cron, Zone.named(asked.zone), at)!
      ticks.push(new Date(at).toISOString().replace('.000Z', 'Z'))
    }
    expect(ticks).toEqual(asked.next)
  })

  test.each(cases.filter(({ error }) => error))('$id: $topic, $expression in $zone is refused: $why', (asked) => {
    const cron = parseCron(asked.expression, 'cron')
    const issues = [...(Array.isArray(cron) ? cron : []), ...zoneIssues(asked.zone, 'zone')]

    expect(issues).toEqual([{ path: expect.stringMatching(/^(cron|zone)$/), message: expect.any(String) }])
  })
})

test('docs/schedules.md counts each case in its comparison', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/schedules.md'), 'utf8')
  const topics = [...new Set(cases.map(({ topic }) => topic)), 'all']

  for (const topic of topics) {
    const count = cases.filter((one) => topic === 'all' || one.topic === topic).length
    expect(page).toContain(`| ${topic} | ${count} | ${count} | `)
  }
})
