import type { Facts } from './facts.ts'
import { duration, instant, number } from './text.ts'

/** A job that is stored later than this after its tick was late, in ms. */
const lateMs = 1_000

/** The schedule that made the job, the tick, and how late it was. */
export function explainSchedule({ origin }: Facts): string {
  if (origin?.schedule === undefined) return ''
  const { schedule, tick, missed, firstMissed, at } = origin
  if (tick === undefined) return `It is a job of the schedule ${schedule}, made beside its ticks.`
  const late = at - tick < lateMs ? '' : `, ${duration(at - tick)} late`
  const first = firstMissed === undefined ? '' : `, the first at ${instant(firstMissed)}`
  const others = missed === undefined ? '' : `, and stands for ${number(missed)} missed ticks${first}`
  return `It is for the tick of the schedule ${schedule} at ${instant(tick)}, made ${late ? late.slice(2) : 'in time'}${others}.`
}
