import { markEvery } from '../schema.ts'
import type { Facts } from './transition-statements.ts'

/** The most jobs in a row with lists: a history is found by reading its lists. */
const listMax = 128

/** A job that is to take events, with its newest event before them. */
export type SeenJob = readonly [id: number, lastEventId: number, ...facts: Facts]

/** Jobs that share a row of `event_runs` for each event that they take. */
export interface Run {
  readonly firstJobId: number
  readonly length: number
  readonly jobOffsets: string | null
  readonly previousId: number
  readonly previousOffsets: string | null
  readonly facts: Facts
}

/** Puts jobs together that take the same events with equal facts, each kind by their ids. Long histories stay alone, for their marks. */
export function intoGroups(jobs: readonly SeenJob[], eventCount: number): SeenJob[][] {
  const groups = new Map<string | number, SeenJob[]>()
  let last: SeenJob[] | undefined
  for (const job of jobs) {
    const [id, lastEventId, seq] = job
    const isAlone = seq + eventCount >= markEvery || !Number.isSafeInteger(lastEventId)
    if (!last || isAlone || !isAlike(last[0]!, job)) {
      const key = isAlone ? id : job.slice(2).join()
      last = groups.get(key) ?? []
      groups.set(key, last)
    }
    last.push(job)
    if (isAlone) last = undefined
  }
  return [...groups.values()]
}

function isAlike(one: SeenJob, other: SeenJob): boolean {
  for (let index = 2; index < one.length; index++) if (one[index] !== other[index]) return false
  return true
}

/** The rows for jobs of one group. */
export function runsOf(jobs: readonly SeenJob[]): Run[] {
  const run = toRun(jobs)
  if (jobs.length <= listMax || (run.jobOffsets === null && run.previousOffsets === null)) return [run]
  return [toRun(jobs.slice(0, listMax)), ...runsOf(jobs.slice(listMax))]
}

function toRun(jobs: readonly SeenJob[]): Run {
  const [firstJobId, previousId, ...facts] = jobs[0]!
  const [jobOffsets, previousOffsets] = [listOf(jobs, 0), listOf(jobs, 1)]
  return { firstJobId, length: jobs.length, jobOffsets, previousId, previousOffsets, facts }
}

/** How far the ids of each are from those of the first; null if they follow each other. */
function listOf(jobs: readonly SeenJob[], column: 0 | 1): string | null {
  const first = jobs[0]![column]
  let place = 0
  while (place < jobs.length && jobs[place]![column] === first + place) place++
  return place === jobs.length ? null : JSON.stringify(jobs.map((job) => job[column] - first))
}
