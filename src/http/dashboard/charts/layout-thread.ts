import { parentPort, workerData } from 'node:worker_threads'
import { Graphviz } from '@hpcc-js/wasm-graphviz'
import type { EdgeLayout, Layout, NodeLayout } from './layout.ts'

/** The used parts of Graphviz's `json`: the y axis points up, node sizes are in inches. */
interface Drawn {
  readonly bb: string
  readonly objects: readonly {
    readonly name: string
    readonly pos?: string
    readonly width: string
    readonly height: string
  }[]
  readonly edges: readonly {
    readonly id: string
    readonly lp?: string
    readonly _draw_: readonly Stroke[]
    readonly _hdraw_: readonly Stroke[]
  }[]
}

interface Stroke {
  /** `b`: a spline, its first point and then three per curve. `P`: a filled polygon. */
  readonly op: string
  readonly points?: readonly Point[]
}

type Point = readonly [x: number, y: number]

const pointsPerInch = 72

/** Converts Graphviz's drawing into a chart's layout. */
function toLayout(drawn: Drawn): Layout {
  const [, , width = 0, height = 0] = drawn.bb.split(',').map(Number)
  const place = ([x, y]: Point): Point => [round(x), round(height - y)]
  const parse = (text: string) => place(text.split(',').map(Number) as unknown as Point)
  const pointsOf = (strokes: readonly Stroke[], op: string) =>
    strokes.find((stroke) => stroke.op === op)!.points!.map((point) => place(point).join(' '))
  return {
    width: Math.ceil(width),
    height: Math.ceil(height),
    // Groups of nodes are objects too, but have no position.
    nodes: drawn.objects.flatMap(({ name, pos, width, height }): NodeLayout[] => {
      if (pos === undefined) return []
      const [x, y] = parse(pos)
      return [{ id: name, x, y, width: round(+width * pointsPerInch), height: round(+height * pointsPerInch) }]
    }),
    edges: drawn.edges.map(({ id, lp, _draw_, _hdraw_ }): EdgeLayout => {
      const [first, ...curves] = pointsOf(_draw_, 'b')
      const [x, y] = lp === undefined ? [] : parse(lp)
      return {
        id,
        line: `M${first}C${curves.join(' ')}`,
        head: `M${pointsOf(_hdraw_, 'P').join('L')}Z`,
        label: x === undefined || y === undefined ? null : { x, y },
      }
    }),
  }
}

function round(length: number): number {
  return Math.round(length * 10) / 10
}

const graphviz = await Graphviz.load()
/** Each chart in Graphviz's language, by id. */
const dots = workerData as Readonly<Record<string, string>>
const layouts: Readonly<Record<string, Layout>> = Object.fromEntries(
  Object.entries(dots).map(([id, dot]) => [id, toLayout(JSON.parse(graphviz.dot(dot, 'json')))]),
)
parentPort!.postMessage(layouts)
