import assert from 'node:assert/strict'
import { transition } from 'xstate'
import {
  type EventType,
  type GuardName,
  guards,
  type JobEvent,
  type JobFacts,
  type JobNode,
  type JobState,
  type JobTag,
  jobMachine,
} from './job.ts'

/** What a transition does to `attempt`: nothing, one more, one given back, or back to none. */
export type AttemptEffect = 'keep' | 'count' | 'giveBack' | 'forget'

/** One arrow of the job machine. `guard` null: it is taken whatever the facts. */
export interface Edge {
  readonly from: JobNode
  readonly event: EventType
  readonly guard: { readonly name: GuardName; readonly holds: boolean } | null
  readonly to: JobState
  readonly attempt: AttemptEffect
}

const guardNames = Object.keys(guards) as GuardName[]
/** Far from 0 and from the limit, so that each effect on it can be told from the others. */
const probeAttempt = 5
const probeFacts: JobFacts = { attempt: probeAttempt, maxAttempts: 9 }
const effects = new Map<number, AttemptEffect>([
  [probeAttempt, 'keep'],
  [probeAttempt + 1, 'count'],
  [probeAttempt - 1, 'giveBack'],
  [0, 'forget'],
])

const machines = new Map<string, typeof jobMachine>()

/** The eight stored states in the order of the lifecycle. */
export const jobStates: readonly JobState[] = Object.freeze(
  (Object.keys(jobMachine.states) as JobNode[]).filter((node): node is JobState => node !== 'new'),
)

/** The twelve events in the order in which the machine names them. */
export const eventTypes: readonly EventType[] = Object.freeze(
  (jobMachine.events as EventType[]).filter((type, index, all) => all.indexOf(type) === index),
)

/**
 * The whole machine as a flat table, asked of XState once, at import: every node × event is tried under every combination of guards.
 * A thousand times faster than `transition()` per row, and the only form in which SQL can move a batch. Tests prove it equal.
 */
export const edges: readonly Edge[] = Object.freeze(
  (Object.keys(jobMachine.states) as JobNode[]).flatMap((from) => eventTypes.flatMap((event) => edgesOf(from, event))),
)

/** The states that carry a tag, in the order of the lifecycle. */
export function statesTagged(tag: JobTag): JobState[] {
  return jobStates.filter((state) => hasTag(state, tag))
}

/** Whether a state carries a tag; the node `new`, which is never stored, has none. */
export function hasTag(node: JobNode, tag: JobTag): boolean {
  return jobMachine.states[node]!.tags.includes(tag)
}

/** What a state means, in one line, as the machine describes it. */
export function describeState(state: JobState): string {
  return jobMachine.states[state]!.description ?? ''
}

const edgesByPair = new Map<string, Edge[]>()
for (const edge of edges) {
  const pair = `${edge.from} ${edge.event}`
  edgesByPair.set(pair, [...(edgesByPair.get(pair) ?? []), edge])
}

/** The edge that `event` takes from `from`; undefined where the machine refuses it. */
export function findEdge(from: JobNode, event: JobEvent, facts: JobFacts): Edge | undefined {
  return edgesByPair
    .get(`${from} ${event.type}`)
    ?.find(({ guard }) => guard === null || guards[guard.name]({ context: facts, event }) === guard.holds)
}

/** The edges of one event, in the order of the lifecycle. */
export function edgesOn(event: EventType): Edge[] {
  return edges.filter((edge) => edge.event === event)
}

/** What happens to a job that a free worker takes, in order: the one pair of events that a write of its row may take together. */
export const claim: readonly EventType[] = Object.freeze(['lease', 'start'])

/** Where events that are taken in order begin and end, whatever the facts. */
export function endsOf(events: readonly EventType[]): Pick<Edge, 'from' | 'to'>[] {
  const [first, ...rest] = events.map(edgesOn)
  return rest.reduce<Pick<Edge, 'from' | 'to'>[]>(
    (paths, next) =>
      paths.flatMap(({ from, to }) => next.filter((edge) => edge.from === to).map((edge) => ({ from, to: edge.to }))),
    first ?? [],
  )
}

/** The events that the machine takes in a state. */
export function eventsFrom(from: JobNode): EventType[] {
  return [...new Set(edges.filter((edge) => edge.from === from).map(({ event }) => event))]
}

/** How often an edge was taken; `to` null: the job was removed. */
export interface TakenEdge {
  readonly from: JobNode
  readonly to: JobState | null
  readonly count: number
}

/** How many jobs are in each state: what went in less what went out. */
export function countStates(taken: readonly TakenEdge[]): Record<JobState, number> {
  const states = Object.fromEntries(jobStates.map((state) => [state, 0])) as Record<JobState, number>
  for (const { from, to, count } of taken) {
    if (to !== null) states[to] += count
    if (from !== 'new') states[from] -= count
  }
  return states
}

/** `attempt` after an edge was taken. */
export function attemptAfter(effect: AttemptEffect, attempt: number): number {
  switch (effect) {
    case 'keep':
      return attempt
    case 'count':
      return attempt + 1
    case 'giveBack':
      return attempt - 1
    case 'forget':
      return 0
  }
}

function edgesOf(from: JobNode, event: EventType): Edge[] {
  // Four in five pairs: not asked further, for every process and thread asks at its start.
  if (!jobMachine.states[from]!.ownEvents.includes(event)) return []
  const whatever = target(from, event, {})
  const deciding = guardNames.filter((name) => differs(from, event, name))
  if (deciding.length === 0) return whatever ? [{ from, event, guard: null, ...whatever }] : []
  // The SQL knows one condition per edge; a machine that needs two says so here and not in production.
  assert.equal(deciding.length, 1, `${from} on ${event} depends on more than one guard`)
  const name = deciding[0]!
  return [true, false].flatMap((holds) => {
    const found = target(from, event, { [name]: holds })
    return found ? [{ from, event, guard: { name, holds }, ...found }] : []
  })
}

function differs(from: JobNode, event: EventType, name: GuardName): boolean {
  const others = guardNames.filter((other) => other !== name)
  return combinations(others).some((rest) => {
    const [held, not] = [true, false].map((holds) => target(from, event, { ...rest, [name]: holds }))
    return held?.to !== not?.to || held?.attempt !== not?.attempt
  })
}

function combinations(names: GuardName[]): Partial<Record<GuardName, boolean>>[] {
  return names.reduce<Partial<Record<GuardName, boolean>>[]>(
    (all, name) => all.flatMap((one) => [true, false].map((holds) => ({ ...one, [name]: holds }))),
    [{}],
  )
}

/** The machine with its guards answering as told, false unless told: built once for each combination, which is what takes long. */
function answering({ attemptsRemain = false, runAtLiesAhead = false }: Partial<Record<GuardName, boolean>>) {
  const key = `${attemptsRemain} ${runAtLiesAhead}`
  const machine =
    machines.get(key) ??
    jobMachine.provide({ guards: { attemptsRemain: () => attemptsRemain, runAtLiesAhead: () => runAtLiesAhead } })
  machines.set(key, machine)
  return machine
}

/** Where XState goes from `from` on `event` when each guard answers as told; undefined where it stays. */
function target(from: JobNode, event: EventType, answers: Partial<Record<GuardName, boolean>>) {
  const machine = answering(answers)
  const before = machine.resolveState({ value: from, context: probeFacts })
  if (before.status !== 'active') return
  const [after] = transition(machine, before, { type: event, delayed: false } as JobEvent)
  if (after.value === from) return
  const attempt = effects.get(after.context.attempt)
  assert(attempt, `${from} on ${event} changes attempt in a way the table has no word for`)
  return { to: after.value as JobState, attempt }
}
