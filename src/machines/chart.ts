import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { eventText, guardText } from './chart-text.ts'
import { dispatcherMachine } from './dispatcher.ts'
import { type Edge, edges } from './edges.ts'
import { jobEvents } from './events.ts'
import { jobMachine } from './job.ts'
import { scheduleMachine } from './schedule.ts'
import { slotMachine } from './slots.ts'

export interface ChartNode {
  readonly id: string
  /** Its meaning, in one line. */
  readonly description: string
  readonly tags: readonly string[]
  readonly initial: boolean
  readonly final: boolean
  /** Nothing is ever in this node and nothing is counted: it is drawn as a dot. */
  readonly isOrigin: boolean
}

export interface ChartEdge {
  /** Such as `running-fail-retrying`; stable for as long as those names are. */
  readonly id: string
  readonly from: string
  /** Null if it is taken by itself, as soon as the guard holds. */
  readonly event: string | null
  readonly to: string
  /** In words; null if it is always taken. */
  readonly guard: string | null
  /** Whether the guard is inverted: this edge is taken when it does not hold. */
  readonly isElse: boolean
  /** What has happened, in words; empty if there is no event. */
  readonly description: string
}

/** A machine, with what a picture needs. */
export interface Chart {
  readonly id: string
  /** The subject of the picture. */
  readonly title: string
  /** Whether there is a count of how often each edge was taken. */
  readonly countsEdges: boolean
  readonly nodes: readonly ChartNode[]
  readonly edges: readonly ChartEdge[]
}

/** The lifecycle of a job, from its edge table. */
const jobChart: Chart = {
  id: jobMachine.id,
  title: 'The lifecycle of a job',
  countsEdges: true,
  nodes: nodesOf(jobMachine).map((node) => ({ ...node, isOrigin: node.initial })),
  edges: joined(
    edges.map(({ from, event, to, conditions }) =>
      edge(from, event, to, {
        guard: describeConditions(conditions),
        isElse: conditions.at(-1)?.holds === false,
        description: jobEvents[event].what,
      }),
    ),
  ),
}

/** The modes of the dispatcher. */
const dispatcherChart: Chart = {
  id: dispatcherMachine.id,
  title: 'The modes of the dispatcher',
  countsEdges: false,
  nodes: nodesOf(dispatcherMachine),
  edges: edgesOf(dispatcherMachine, eventText.dispatcher, guardText.dispatcher),
}

/** The lifecycle of one slot of a worker. */
const workerChart: Chart = {
  id: slotMachine.id,
  title: "The lifecycle of a worker's slot",
  countsEdges: false,
  nodes: nodesOf(slotMachine),
  edges: edgesOf(slotMachine, eventText.worker, {}),
}

/** The lifecycle of a schedule. Events that leave it in its state are not drawn. */
export const scheduleChart: Chart = {
  id: scheduleMachine.id,
  title: 'The lifecycle of a schedule',
  countsEdges: false,
  nodes: nodesOf(scheduleMachine).map((node) => ({ ...node, isOrigin: node.initial })),
  edges: edgesOf(scheduleMachine, eventText.schedule, {}),
}

/** The charts of the machines of which each has its jobs or slots counted, by id. */
export const charts = Object.freeze({ job: jobChart, dispatcher: dispatcherChart, worker: workerChart })
export type ChartName = keyof typeof charts

/**
 * The condition of an edge, in words; null if it has none. The last guard decides it, because it is asked only if the guards before it led
 * to no other edge.
 */
export function describeConditions(conditions: Edge['conditions']): string | null {
  const last = conditions.at(-1)
  return last ? guardText.job[last.guard][last.holds ? 'holds' : 'not'] : null
}

/** Edges between the same states on the same event are one arrow. */
function joined(edges: readonly ChartEdge[]): ChartEdge[] {
  const byId = new Map<string, ChartEdge>()
  for (const edge of edges) {
    const other = byId.get(edge.id)
    byId.set(
      edge.id,
      other ? { ...edge, guard: `${other.guard} or ${edge.guard}`, isElse: other.isElse || edge.isElse } : edge,
    )
  }
  return [...byId.values()]
}

/** The id of an edge of a chart, from the names of its parts; `event` is null if it has none. */
export function edgeId(from: string, event: string | null, to: string): string {
  return `${from}-${event ?? 'always'}-${to}`
}

function nodesOf(machine: AnyStateMachine): ChartNode[] {
  return statesOf(machine).map((node) => ({
    id: node.key,
    description: node.description ?? '',
    tags: node.tags,
    initial: machine.config.initial === node.key,
    final: node.type === 'final',
    isOrigin: false,
  }))
}

function edgesOf(
  machine: AnyStateMachine,
  events: typeof eventText.dispatcher,
  guards: typeof guardText.dispatcher,
): ChartEdge[] {
  return statesOf(machine).flatMap((node) =>
    transitionsOf(node).flatMap(({ eventType, guard, target }) => {
      const [to] = target ?? []
      if (!to || to === node) return []
      const words = { guard: guard ? guards[guard as string]!.holds : null, isElse: false }
      return [edge(node.key, eventType || null, to.key, { ...words, description: events[eventType]?.what ?? '' })]
    }),
  )
}

/** All transitions out of a state: its own, and those of the machine that it does not override. A final state has none. */
function transitionsOf(node: AnyStateNode) {
  if (node.type === 'final') return []
  const takesItself = (event: string) => node.transitions.get(event)?.some(({ guard }) => !guard) ?? false
  const inherited = [...node.machine.root.transitions].filter(([event]) => !takesItself(event))
  return [...(node.always ?? []), ...[...node.transitions.values()].flat(), ...inherited.flatMap(([, taken]) => taken)]
}

function statesOf(machine: AnyStateMachine): AnyStateNode[] {
  return Object.values(machine.states)
}

function edge(
  from: string,
  event: string | null,
  to: string,
  words: Pick<ChartEdge, 'guard' | 'isElse' | 'description'>,
): ChartEdge {
  return { id: edgeId(from, event, to), from, event, to, ...words }
}

/** The text beside an edge, line by line. */
export function edgeLines({ event, guard }: Pick<ChartEdge, 'event' | 'guard'>): string[] {
  const lines = guard?.split(/ (?=or )/) ?? []
  return event === null ? lines : [event, ...lines]
}

/** A Mermaid state diagram, of the job machine by default, for the docs; a test compares them with it. */
export function toMermaid(chart: Chart = jobChart): string {
  const origins = new Set(chart.nodes.filter(({ isOrigin }) => isOrigin).map(({ id }) => id))
  const arrows = new Map<string, string[]>()
  for (const { from, event, to, guard, isElse } of chart.edges) {
    const fromOrigin = origins.has(from)
    const arrow = `${fromOrigin ? '[*]' : from} --> ${to}`
    const label = event === null ? `[${guard}]` : isElse && !fromOrigin ? `${event}, ${guard}` : event
    arrows.set(arrow, [...(arrows.get(arrow) ?? []), label])
  }
  const starts = chart.nodes.filter(({ initial, isOrigin }) => initial && !isOrigin).map(({ id }) => `[*] --> ${id}`)
  const taken = [...arrows].map(([arrow, labels]) => `${arrow}: ${labels.join(' / ')}`)
  return ['stateDiagram-v2', ...starts.map((line) => `  ${line}`), ...taken.map((line) => `  ${line}`)].join('\n')
}
