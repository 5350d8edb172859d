import { jobFactsEventsMax } from '../../persistence/store.ts'
import type { Facts } from './facts.ts'
import { ago, number, oneLine } from './text.ts'

/** Whether its last attempt ended with a snooze. */
export function endedWithSnooze({ jobFacts: { lastEnd } }: Facts): boolean {
  return lastEnd?.event === 'snooze'
}

/** How often and since when a job has been snoozed; empty if it was not, or not more than its last event says. */
export function explainSnoozes(facts: Facts): string {
  const { jobFacts, now } = facts
  const { snoozes, lastEvent, lastEnd } = jobFacts
  if (!endedWithSnooze(facts) || !lastEnd || snoozes.since === null) return ''
  const isToldAlready = lastEvent.seq === lastEnd.seq
  if (isToldAlready && snoozes.count < 2) return ''
  const times = snoozes.count === 1 ? 'once' : `${number(snoozes.count)} times`
  const atLeast = lastEvent.seq > jobFactsEventsMax ? 'at least ' : ''
  const first = snoozes.count === 1 ? `, ${ago(snoozes.since, now)}` : `, for the first time ${ago(snoozes.since, now)}`
  const last = isToldAlready || snoozes.count === 1 ? '' : ` and for the last time ${ago(lastEnd.at, now)}`
  const why = isToldAlready || lastEnd.note === undefined ? '' : ` (${oneLine(lastEnd.note)})`
  return `Its handler has snoozed it ${atLeast}${times}${first}${last}${why}.`
}
