import { type Chart, type ChartName, charts, countStates, edgeId, type JobSystem } from '../../../engine/front-door.ts'
import { layoutOf } from './layout.ts'
import { dispatcherOverlay, jobOverlay, jobsOverlay, slotsOverlay, type Tally } from './overlays.ts'
import { type ChartTemplate, createChartTemplate, type Overlay, renderChart } from './svg.ts'

/** What can be told of each machine. */
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

/** The picture of a machine; `inline`: as part of a page, which has `chartStyle` in a style sheet of its own. */
export async function renderMachine(system: JobSystem, name: ChartName, { inline = false } = {}): Promise<string> {
  const [template, tally] = await Promise.all([templateOf(name), views[name].tally(system)])
  return renderChart(template, views[name].overlay(charts[name], tally), { inline })
}

/** The same of one job's path; `at`: as it was after that transition. */
export async function renderJob(
  system: JobSystem,
  id: number,
  { at, inline = false }: { readonly at?: number; readonly inline?: boolean } = {},
): Promise<string> {
  const [template, path] = await Promise.all([templateOf('job'), system.path(id, at === undefined ? {} : { at })])
  return renderChart(template, jobOverlay(charts.job, id, path, at ?? null), { inline })
}

const templates = new Map<ChartName, ChartTemplate>()

/** Made once, at the first request. */
async function templateOf(name: ChartName): Promise<ChartTemplate> {
  const template = templates.get(name) ?? createChartTemplate(charts[name], await layoutOf(charts[name]))
  templates.set(name, template)
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
