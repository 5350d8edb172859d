import { Worker } from 'node:worker_threads'
import { type Chart, charts, ownThread, toDot } from '../../../engine/front-door.ts'

/** Where a node lies: its middle and its size, in the chart's units. */
export interface NodeLayout {
  readonly id: string
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** How an edge runs: path data of its line and of its arrowhead, and the middle of its words; null if it has none. */
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
 * Where everything in a chart lies. The first call lays out all charts, on a thread that ends when it is done: Graphviz takes 200 ms to
 * load, and megabytes, and nothing that it says changes while the process lives.
 */
export async function layoutOf(chart: Chart): Promise<Layout> {
  laidOut ??= layOutAll().catch((error) => {
    laidOut = undefined
    throw error
  })
  return (await laidOut)[chart.id]!
}

function layOutAll(): Promise<Layouts> {
  const workerData = Object.fromEntries(Object.values(charts).map((chart) => [chart.id, toDot(chart)]))
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./layout-thread.js', import.meta.url), { workerData, ...ownThread })
    // A process that has nothing else to do waits for no picture.
    thread.unref()
    thread.on('message', resolve)
    thread.on('error', reject)
    thread.on('exit', () => reject(new Error('the thread that lays out the charts ended by itself')))
  })
}
