import {
  type Chart,
  type ChartName,
  charts,
  countStates,
  edgeId,
  type JobPath,
  type JobSystem,
  type ScheduleInfo,
  scheduleChart,
} from '../../../engine/front-door.ts'
import { layoutOf } from './layout.ts'
import { ChartTemplate, type EdgeOverlay, type NodeOverlay, type Overlay } from './svg.ts'

/**
 * How many jobs or slots are in each state of a machine now, and how often each edge was taken; the latter is null if it is not counted.
 */
export interface Tally {
  readonly states: ReadonlyMap<string, number>
  readonly taken: ReadonlyMap<string, number> | null
}

const compact = { notation: 'compact', maximumSignificantDigits: 4 } as const
/** The largest counts that fit beside an arrow and in a box. */
const besideMax = 999_999
const insideMax = 99_999_999

/** The views of each machine. */
const views: Readonly<
  Record<
    ChartName,
    { readonly tally: (system: JobSystem) => Promise<Tally>; readonly overlay: (chart: Chart, tally: Tally) => Overlay }
  >
> = {
  job: { tally: tallyJobs, overlay: jobsOverlay },
  dispatcher: { tally: tallyDispatcher, overlay: dispatcherOverlay },
  worker: { tally: tallySlots, overlay: slotsOverlay },
}

/** How many are in each state, and how often each edge was taken. */
export function tallyOf(system: JobSystem, name: ChartName): Promise<Tally> {
  return views[name].tally(system)
}

/** The picture of a machine; `inline` for a page that loads `chartStyle` as a style sheet. */
export async function renderMachine(system: JobSystem, name: ChartName, { inline = false } = {}): Promise<string> {
  const [template, tally] = await Promise.all([templateOf(charts[name]), views[name].tally(system)])
  return template.render(views[name].overlay(charts[name], tally), { inline })
}

/** The same for one job's path; `at`: as it was after that transition. */
export async function renderJob(
  system: JobSystem,
  id: number,
  { at, inline = false }: { readonly at?: number; readonly inline?: boolean } = {},
): Promise<string> {
  const [template, path] = await Promise.all([templateOf(charts.job), system.path(id, at === undefined ? {} : { at })])
  return template.render(jobOverlay(charts.job, id, path, at ?? null), { inline })
}

/** The lifecycle of a schedule that is in a state, for a page. */
export async function renderSchedule(state: ScheduleInfo['state']): Promise<string> {
  const template = await templateOf(scheduleChart)
  const told = `The schedule is ${state} now.`
  const overlay: Overlay = {
    label: `${scheduleChart.title}. ${told}`,
    caption: told,
    nodes: new Map([[state, { text: 'now', mark: 'current' }]]),
    edges: new Map(),
  }
  return template.render(overlay, { inline: true })
}

const templates = new Map<string, ChartTemplate>()

/** Created once, at the first request. */
async function templateOf(chart: Chart): Promise<ChartTemplate> {
  const template = templates.get(chart.id) ?? new ChartTemplate(chart, await layoutOf(chart))
  templates.set(chart.id, template)
  return template
}

async function tallyJobs(system: JobSystem): Promise<Tally> {
  const counts = await system.edgeCounts()
  return {
    states: new Map(Object.entries(countStates(counts))),
    taken: new Map(
      counts.flatMap(({ from, event, to, count }) => (to === null ? [] : [[edgeId(from, event, to), count]])),
    ),
  }
}

async function tallyDispatcher(system: JobSystem): Promise<Tally> {
  const { mode } = system.activity()
  return { states: new Map(mode === null ? [] : [[mode, 1]]), taken: null }
}

async function tallySlots(system: JobSystem): Promise<Tally> {
  const { slots, workers } = system.activity()
  const states = new Map([[charts.worker.nodes.find(({ initial }) => initial)!.id, slots - workers.length]])
  for (const { phase } of workers) states.set(phase, (states.get(phase) ?? 0) + 1)
  return { states, taken: null }
}

/** All jobs of the file: how many are in each state, and which edges they took. */
function jobsOverlay(chart: Chart, { states, taken }: Tally): Overlay {
  const edges = chart.edges.map((edge) => ({ ...edge, count: taken?.get(edge.id) ?? 0 }))
  const told = edges
    .filter(({ count }) => count > 0)
    .map(({ from, event, to, count }) => `${event} from ${from} to ${to} ${count.toLocaleString('en')}`)
  return {
    label: `${chart.title}. Jobs: ${inWords(chart, states)}. Taken: ${told.join(', ') || 'nothing yet'}.`,
    caption:
      'Each box shows how many jobs are in it now. Each arrow shows how often it was taken since the file was made; wider arrows were taken more often.',
    nodes: countedNodes(chart, states),
    edges: new Map(edges.map(({ id, count }) => [id, { text: shown(count, besideMax), taken: count }])),
  }
}

/** The slots of all workers: how many are in each phase. */
function slotsOverlay(chart: Chart, { states }: Tally): Overlay {
  return {
    label: `${chart.title}. Slots: ${inWords(chart, states)}.`,
    caption: 'Each box shows how many slots are in it now.',
    nodes: countedNodes(chart, states),
    edges: new Map(),
  }
}

/** The dispatcher: at most one. */
function dispatcherOverlay(chart: Chart, { states }: Tally): Overlay {
  const [mode] = states.keys()
  const told = mode === undefined ? 'This process has none, because a producer runs no jobs.' : `Its mode now: ${mode}.`
  return {
    label: `${chart.title}. ${told}`,
    caption: told,
    nodes: new Map(mode === undefined ? [] : [[mode, { text: 'now', mark: 'current' }]]),
    edges: new Map(),
  }
}

/** One job: the edges that it took, the last of them, and where that led; `at`: the transition to show, null for now. */
function jobOverlay(chart: Chart, jobId: number, { seq, since, steps }: JobPath, at: number | null): Overlay {
  const origin = chart.nodes.find(({ isOrigin }) => isOrigin)!.id
  const taken = steps.map((step) => ({ ...step, id: edgeId(step.from ?? origin, step.event, step.to) }))
  const last = taken.at(-1)
  if (!last) {
    const fault = `The history of job ${jobId} cannot be read.`
    return { label: fault, caption: fault, nodes: countedNodes(chart, new Map()), edges: new Map() }
  }
  const times = new Map<string, number>()
  for (const { to, count } of steps) times.set(to, (times.get(to) ?? 0) + count)
  const where = `Job ${jobId} ${at === null ? 'is' : 'was'} ${last.to} after ${seq.toLocaleString('en')} transition${seq === 1 ? '' : 's'}`
  const counted = since > 1 ? `, the last ${(seq - since + 1).toLocaleString('en')} of which are counted` : ''
  const told = taken.map(
    ({ from, event, to, count }) => `${event} from ${from ?? origin} to ${to} ${count.toLocaleString('en')}`,
  )
  return {
    label: `${where}${counted}. Taken: ${told.join(', ')}; the last was ${last.event} from ${last.from ?? origin} to ${last.to}.`,
    caption: `${where}${counted}. Each number shows how often. The last transition and its state are orange.`,
    nodes: new Map(chart.nodes.map(({ id }) => [id, visitedNode(times.get(id) ?? 0, id === last.to)])),
    edges: new Map([
      ...chart.edges.map(({ id }): [string, EdgeOverlay] => [id, { text: '', taken: 0, mark: 'faded' }]),
      ...taken.map((step): [string, EdgeOverlay] => [
        step.id,
        {
          text: `${shown(step.count, besideMax)}×`,
          taken: step.count,
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
    .map(({ id }) => `${(states.get(id) ?? 0).toLocaleString('en')} ${id}`)
    .join(', ')
}

function shown(count: number, max: number): string {
  return count.toLocaleString('en', count > max ? compact : {})
}
