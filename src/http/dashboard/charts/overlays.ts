import { type Chart, edgeId, type JobPath } from '../../../engine/front-door.ts'
import { type EdgeOverlay, type NodeOverlay, type Overlay, widthMin, widthOf } from './svg.ts'

/** What is in each state of a machine now, and how often each edge was taken; the latter null where that is not counted. */
export interface Tally {
  readonly states: ReadonlyMap<string, number>
  readonly taken: ReadonlyMap<string, number> | null
}

const grouped = new Intl.NumberFormat('en')
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 4 })
/** What has room whole, beside an arrow and in a box. */
const besideMax = 999_999
const insideMax = 99_999_999

/** All jobs of the file: how many are in each state, and which edges they took. */
export function jobsOverlay(chart: Chart, { states, taken }: Tally): Overlay {
  const edges = chart.edges.map((edge) => ({ ...edge, count: taken?.get(edge.id) ?? 0 }))
  const told = edges
    .filter(({ count }) => count > 0)
    .map(({ from, event, to, count }) => `${event} from ${from} to ${to} ${grouped.format(count)}`)
  return {
    label: `${chart.title}. Jobs: ${inWords(chart, states)}. Taken: ${told.join(', ') || 'nothing yet'}.`,
    caption:
      'Each box shows how many jobs are in it now. Each arrow shows how often it was taken since the file was made; wider arrows were taken more often.',
    nodes: countedNodes(chart, states),
    edges: new Map(edges.map(({ id, count }) => [id, { text: shown(count, besideMax), width: widthOf(count) }])),
  }
}

/** The slots of all workers: how many are in each phase. */
export function slotsOverlay(chart: Chart, { states }: Tally): Overlay {
  return {
    label: `${chart.title}. Slots: ${inWords(chart, states)}.`,
    caption: 'Each box shows how many slots are in it now.',
    nodes: countedNodes(chart, states),
    edges: new Map(),
  }
}

/** The dispatcher, of which there is one at most. */
export function dispatcherOverlay(chart: Chart, { states }: Tally): Overlay {
  const [mode] = states.keys()
  const told = mode === undefined ? 'This process has none, because a producer runs no jobs.' : `Its mode now: ${mode}.`
  return {
    label: `${chart.title}. ${told}`,
    caption: told,
    nodes: new Map(mode === undefined ? [] : [[mode, { text: 'now', mark: 'current' }]]),
    edges: new Map(),
  }
}

/** One job: the edges that it took, the last of them, and where that led; `at`: the transition after which it was so, null for now. */
export function jobOverlay(chart: Chart, jobId: number, { seq, since, steps }: JobPath, at: number | null): Overlay {
  const origin = chart.nodes.find(({ isOrigin }) => isOrigin)!.id
  const taken = steps.map((step) => ({ ...step, id: edgeId(step.from ?? origin, step.event, step.to) }))
  const last = taken.at(-1)!
  const times = new Map<string, number>()
  for (const { to, count } of steps) times.set(to, (times.get(to) ?? 0) + count)
  const where = `Job ${jobId} ${at === null ? 'is' : 'was'} ${last.to} after ${grouped.format(seq)} transition${seq === 1 ? '' : 's'}`
  const counted = since > 1 ? `, the last ${grouped.format(seq - since + 1)} of which are counted` : ''
  const told = taken.map(
    ({ from, event, to, count }) => `${event} from ${from ?? origin} to ${to} ${grouped.format(count)}`,
  )
  return {
    label: `${where}${counted}. Taken: ${told.join(', ')}; the last was ${last.event} from ${last.from ?? origin} to ${last.to}.`,
    caption: `${where}${counted}. Each number shows how often. The last transition and its state are orange.`,
    nodes: new Map(chart.nodes.map(({ id }) => [id, visitedNode(times.get(id) ?? 0, id === last.to)])),
    edges: new Map([
      ...chart.edges.map(({ id }): [string, EdgeOverlay] => [id, { text: '', width: widthMin, mark: 'faded' }]),
      ...taken.map((step): [string, EdgeOverlay] => [
        step.id,
        {
          text: `${shown(step.count, besideMax)}×`,
          width: widthOf(step.count),
          mark: step === last ? 'taken last' : 'taken',
        },
      ]),
    ]),
  }
}

function visitedNode(count: number, isCurrent: boolean): NodeOverlay {
  if (count === 0) return { text: '', mark: 'faded' }
  return { text: `${shown(count, insideMax)}×`, mark: isCurrent ? 'current' : 'visited' }
}

function countedNodes(chart: Chart, states: ReadonlyMap<string, number>): Map<string, NodeOverlay> {
  return new Map(chart.nodes.map(({ id }) => [id, { text: shown(states.get(id) ?? 0, insideMax) }]))
}

function inWords({ nodes }: Chart, states: ReadonlyMap<string, number>): string {
  return nodes
    .filter(({ isOrigin }) => !isOrigin)
    .map(({ id }) => `${grouped.format(states.get(id) ?? 0)} ${id}`)
    .join(', ')
}

function shown(count: number, max: number): string {
  return (count > max ? compact : grouped).format(count)
}
