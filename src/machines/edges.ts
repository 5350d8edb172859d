import type { Edge } from './compile.ts'
import { guards } from './guards.ts'
import type { EventType, JobEvent, JobFacts, JobNode, JobState, JobTag } from './job.ts'
import { jobTable } from './job-table.ts'

export type { Edge }

/** The stored states in the order of the lifecycle. */
export const jobStates: readonly JobState[] = Object.freeze(
  (Object.keys(jobTable.nodes) as JobNode[]).filter((node): node is JobState => node !== 'new'),
)

/** The events in the machine's order. */
export const eventTypes: readonly EventType[] = Object.freeze(jobTable.eventTypes)

/** Every arrow of the machine. */
export const edges: readonly Edge[] = Object.freeze(jobTable.edges)

/** The states that carry a tag, in the order of the lifecycle. */
export function statesWithTag(tag: JobTag): JobState[] {
  return jobStates.filter((state) => hasTag(state, tag))
}

/** Whether a state carries a tag. The node `new`, which is never stored, has none, and neither has what a damaged file calls a state. */
export function hasTag(node: JobNode, tag: JobTag): boolean {
  return jobTable.nodes[node]?.tags.includes(tag) ?? false
}

/** Whether a job has ended for good, and only a user can decide what becomes of it. */
export function isDead(state: JobNode): boolean {
  return hasTag(state, 'ended') && !hasTag(state, 'expendable')
}

/** The machine's one-line description of a state. */
export function describeState(state: JobState): string {
  return jobTable.nodes[state].description
}

const edgesByPair = new Map<string, Edge[]>()
for (const edge of edges) {
  const pair = `${edge.from} ${edge.event}`
  edgesByPair.set(pair, [...(edgesByPair.get(pair) ?? []), edge])
}

/** The edge that `event` takes from `from`; undefined if the machine refuses it. */
export function findEdge(from: JobNode, event: JobEvent, facts: JobFacts): Edge | undefined {
  return edgesByPair
    .get(`${from} ${event.type}`)
    ?.find(({ conditions }) =>
      conditions.every(({ guard, holds }) => guards[guard]({ context: facts, event }) === holds),
    )
}

const edgesByEvent = new Map<EventType, readonly Edge[]>()
for (const edge of edges) edgesByEvent.set(edge.event, [...(edgesByEvent.get(edge.event) ?? []), edge])

/** The edges of one event, in the order of the lifecycle. */
export function edgesOn(event: EventType): readonly Edge[] {
  return edgesByEvent.get(event) ?? []
}

/** Whether a state is one to which `event` leads. */
export function isAfter(event: EventType, state: JobNode): boolean {
  return edgesOn(event).some(({ to }) => to === state)
}

/** The events of a claim, in order: the only pair of events that one write of a job's row may take together. */
export const claim: readonly EventType[] = Object.freeze(['lease', 'start'])

/** The events that the machine allows in a state; none in what a damaged file calls a state. */
export function eventsFrom(from: JobNode): readonly EventType[] {
  return jobTable.nodes[from]?.events ?? []
}

/**
 * The number of jobs in each state, from how often each edge was taken: those that entered it minus those that left it. `to` null: the job
 * was removed.
 */
export function countStates(
  taken: readonly { readonly from: JobNode; readonly to: JobState | null; readonly count: number }[],
): Record<JobState, number> {
  const states = Object.fromEntries(jobStates.map((state) => [state, 0])) as Record<JobState, number>
  for (const { from, to, count } of taken) {
    if (to !== null) states[to] += count
    if (from !== 'new') states[from] -= count
  }
  return states
}

/** `attempt`, or `crashes`, after an edge was taken. */
export function countAfter(effect: Edge['attempt' | 'crashes'], count: number): number {
  switch (effect) {
    case 'keep':
      return count
    case 'count':
      return count + 1
    case 'giveBack':
      return count - 1
    case 'forget':
      return 0
  }
}
