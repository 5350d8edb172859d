import { namePattern, ranges, shown } from '../config.ts'
import { hasTag, statesWithTag } from '../machines/edges.ts'
import type { JobState } from '../machines/job.ts'
import { didYouMean } from './did-you-mean.ts'

/** How long jobs are kept. With both bounds a job is removed when it exceeds one of them. */
export interface RetentionRule {
  /** After they ended; 0: for ever. */
  readonly ms?: number
  /** The newest of them, by their ids. */
  readonly count?: number
}

/** By the state in which jobs ended; the others are not removed. */
type RetentionByState = { readonly [State in JobState]?: RetentionRule }

/** What is not said here is as `retentionMs` says; dead jobs are kept for ever then. `types`: what differs for the jobs of a type. */
export interface Retention extends RetentionByState {
  readonly types?: Readonly<Record<string, RetentionByState>>
}

const quarterMs = 7_776_000_000
/** States whose jobs are kept for ever unless a rule says otherwise. */
const guarded = statesWithTag('ended').filter((state) => !hasTag(state, 'expendable'))
const example = `{ ${guarded[0]}: { ms: ${quarterMs} } }`
/** How it may be written as JSON. */
export const retentionJson = JSON.stringify({
  [guarded[0]!]: { ms: quarterMs },
  types: { email: { [statesWithTag('expendable')[0]!]: { count: 1_000 } } },
})

const bounds = { ms: ranges.retentionMs, count: { min: 1, max: 1_000_000_000 } }
type Bound = keyof typeof bounds
const boundNames = Object.keys(bounds) as readonly Bound[]

/** What is wrong with it, each with its path. */
export function retentionProblems(given: unknown): string[] {
  const { types = {}, ...states } = toObject(given)
  return [
    ...(isObject(given) ? [] : [`retention is ${shown(given)}; it must be an object, such as ${example}`]),
    ...problemsOfStates('retention', states),
    ...(isObject(types) ? [] : [`retention.types is ${shown(types)}; it must be an object of types`]),
    ...Object.entries(toObject(types)).flatMap(([type, byState]) =>
      problemsOfType(`retention.types.${type}`, type, byState),
    ),
  ]
}

function problemsOfType(path: string, type: string, byState: unknown): string[] {
  if (!namePattern.test(type)) return [`${path}: ${shown(type)} cannot be a type`]
  if (!isObject(byState)) return [`${path} is ${shown(byState)}; it must be an object, such as ${example}`]
  return problemsOfStates(path, byState)
}

function problemsOfStates(path: string, byState: Readonly<Record<string, unknown>>): string[] {
  const ended = statesWithTag('ended')
  return Object.entries(byState).flatMap(([state, rule]) => {
    if (!ended.includes(state as JobState)) {
      const hint = didYouMean(state, ended) || `; they are ${ended.join(', ')}`
      return [`${path}.${state}: ${shown(state)} is not a state in which jobs have ended${hint}`]
    }
    if (isObject(rule)) return problemsOfRule(`${path}.${state}`, rule)
    return [`${path}.${state} is ${shown(rule)}; it must be an object, such as { ms: 86400000, count: 1000 }`]
  })
}

function problemsOfRule(path: string, rule: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(rule).flatMap(([name, value]) => {
    if (!boundNames.includes(name as Bound))
      return [`${path}.${name}: ${shown(name)} is not a bound; they are ms, count`]
    const { min, max } = bounds[name as Bound]
    if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max))
      return []
    return [`${path}.${name} is ${shown(value)}; it must be a whole number from ${min} to ${max}`]
  })
}

function isObject(given: unknown): given is Readonly<Record<string, unknown>> {
  return typeof given === 'object' && given !== null && !Array.isArray(given)
}

function toObject(given: unknown): Readonly<Record<string, unknown>> {
  return isObject(given) ? given : {}
}

/** What is counted together, and how many of it are kept. */
interface Quota {
  readonly key: string
  readonly most: number
}

/** The rules by which jobs are removed. */
export class RetentionRules {
  readonly #retentionMs: number
  readonly #byState: RetentionByState
  readonly #byType: ReadonlyMap<string, RetentionByState>
  /** The shortest time for which jobs of any kind are kept; infinite if all are kept for ever. */
  readonly shortestMs: number
  /** The states whose jobs are counted. */
  readonly countedStates: readonly JobState[]

  constructor(retentionMs: number, { types = {}, ...byState }: Retention = {}) {
    this.#retentionMs = retentionMs
    this.#byState = byState
    this.#byType = new Map(Object.entries(types))
    const ended = statesWithTag('ended')
    const kinds = ended.flatMap((state) => [...this.#byType.keys(), ''].map((type) => [state, type] as const))
    const times = kinds.map(([state, type]) => this.msOf(state, type)).filter((ms) => ms > 0)
    this.shortestMs = Math.min(...times, Number.POSITIVE_INFINITY)
    this.countedStates = ended.filter((state) => kinds.some((kind) => kind[0] === state && this.quotaOf(...kind)))
  }

  /** Whether there may be more jobs than are kept, if there are so many in each state. */
  mayExceed(jobs: Readonly<Record<JobState, number>>): boolean {
    const types = [...this.#byType.keys(), '']
    return this.countedStates.some((state) =>
      types.some((type) => jobs[state] > (this.quotaOf(state, type)?.most ?? jobs[state])),
    )
  }

  /** How long a job of a type is kept in a state in which it has ended; 0: for ever. */
  msOf(state: JobState, type: string): number {
    return (
      this.#byType.get(type)?.[state]?.ms ??
      this.#byState[state]?.ms ??
      (hasTag(state, 'expendable') ? this.#retentionMs : 0)
    )
  }

  /** With which jobs such a one is counted; undefined: with none. */
  quotaOf(state: JobState, type: string): Quota | undefined {
    const own = this.#byType.get(type)?.[state]?.count
    if (own !== undefined) return { key: `${state} ${type}`, most: own }
    const most = this.#byState[state]?.count
    return most === undefined ? undefined : { key: state, most }
  }

  /** Whether a job that ended then is old enough to be removed. */
  isOver({ state, type, finishedAt }: EndedJob, now: number): boolean {
    const ms = this.msOf(state, type)
    return hasTag(state, 'ended') && ms > 0 && finishedAt !== null && finishedAt <= now - ms
  }
}

/** What of a job decides how long it is kept. */
interface EndedJob {
  readonly state: JobState
  readonly type: string
  readonly finishedAt: number | null
}

/** Counts jobs, the newest first, and finds those that are beyond what is kept of their kind. */
export class Quotas {
  readonly #rules: RetentionRules
  readonly #counts = new Map<string, number>()

  constructor(rules: RetentionRules) {
    this.#rules = rules
  }

  isBeyond({ state, type }: Pick<EndedJob, 'state' | 'type'>): boolean {
    const quota = this.#rules.quotaOf(state, type)
    if (!quota) return false
    const count = (this.#counts.get(quota.key) ?? 0) + 1
    this.#counts.set(quota.key, count)
    return count > quota.most
  }
}
