import { Worker } from 'node:worker_threads'
import { type Chart, charts, ownThread, scheduleChart, toDot } from '../../../engine/front-door.ts'

/** The centre and the size of a node, in the chart's units. */
export interface NodeLayout {
  readonly id: string
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** The path data of an edge's line and of its arrowhead, and the centre of its text; null if it has none. */
export interface EdgeLayout {
  readonly id: string
  readonly line: string
  readonly head: string
  readonly label: { readonly x: number; readonly y: number } | null
}

export interface Layout {
  readonly width: number
  readonly height: number
  readonly nodes: readonly NodeLayout[]
  readonly edges: readonly EdgeLayout[]
}

/** By the chart's id. */
type Layouts = Readonly<Record<string, Layout>>

let laidOut: Promise<Layouts> | undefined

/**
 * The positions of everything in a chart. The first call lays out all charts, on a thread that then ends: Graphviz takes 200 ms and
 * megabytes to load, and its result never changes while the process lives.
 */
export async function layoutOf(chart: Chart): Promise<Layout> {
  laidOut ??= layOutAll().catch((error) => {
    laidOut = undefined
    throw error
  })
  return (await laidOut)[chart.id]!
}

function layOutAll(): Promise<Layouts> {
  const workerData = Object.fromEntries(
    [...Object.values(charts), scheduleChart].map((chart) => [chart.id, toDot(chart)]),
  )
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./layout-thread.js', import.meta.url), { workerData, ...ownThread })
    // A process with nothing else to do does not wait for a picture.
    thread.unref()
    thread.on('message', resolve)
    thread.on('error', reject)
    thread.on('exit', () => reject(new Error('the thread that lays out the charts ended unexpectedly')))
  })
}
