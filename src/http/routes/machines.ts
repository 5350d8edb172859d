import { type Chart, type ChartName, charts, countStates, edgeId, type JobSystem } from '../../engine/front-door.ts'
import { layoutOf } from '../dashboard/charts/layout.ts'
import { dispatcherOverlay, jobOverlay, jobsOverlay, slotsOverlay, type Tally } from '../dashboard/charts/overlays.ts'
import { chartCssSource } from '../dashboard/charts/style.ts'
import { createDrawing, type Drawing, type Overlay, renderChart } from '../dashboard/charts/svg.ts'
import { machineQuery, parseQuery, pathQuery } from '../query.ts'
import { reply, replyText } from '../reply.ts'
import { machineView } from '../wire/machine.ts'

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

/** `GET /machine`: a machine as it is defined, with what is in each state now and how often each edge was taken. */
export async function showMachine(system: JobSystem, query: URLSearchParams): Promise<Response> {
  const { of: name } = parseQuery(machineQuery, query)
  return reply(machineView(charts[name], await views[name].tally(system)))
}

/** `GET /machine.svg`: the same as a picture. */
export async function showMachineChart(system: JobSystem, query: URLSearchParams): Promise<Response> {
  return replySvg(await drawMachine(system, parseQuery(machineQuery, query).of))
}

/** `GET /jobs/:id/machine.svg`: the path that a job took, to where it is or was. */
export async function showJobChart(system: JobSystem, id: number, query: URLSearchParams): Promise<Response> {
  return replySvg(await drawJob(system, id, parseQuery(pathQuery, query)))
}

/** The picture of a machine; `inline`: as part of a page, which has `chartCss` in a style sheet of its own. */
export async function drawMachine(system: JobSystem, name: ChartName, { inline = false } = {}): Promise<string> {
  const [drawing, tally] = await Promise.all([drawingOf(name), views[name].tally(system)])
  return renderChart(drawing, views[name].overlay(charts[name], tally), { inline })
}

/** The same of one job's path; `at`: as it was after that transition. */
export async function drawJob(
  system: JobSystem,
  id: number,
  { at, inline = false }: { readonly at?: number; readonly inline?: boolean } = {},
): Promise<string> {
  const [drawing, path] = await Promise.all([drawingOf('job'), system.path(id, at === undefined ? {} : { at })])
  return renderChart(drawing, jobOverlay(charts.job, id, path, at ?? null), { inline })
}

function replySvg(svg: string): Response {
  return replyText(svg, 'image/svg+xml; charset=utf-8', { allowed: [`style-src ${chartCssSource}`] })
}

const drawings = new Map<ChartName, Drawing>()

/** Made once, at the first request. */
async function drawingOf(name: ChartName): Promise<Drawing> {
  const drawing = drawings.get(name) ?? createDrawing(charts[name], await layoutOf(charts[name]))
  drawings.set(name, drawing)
  return drawing
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
