import { type Chart, type ChartEdge, type ChartNode, charts, edgeLines } from '../../../engine/front-door.ts'
import { kindOf } from './kind.ts'
import type { EdgeLayout, Layout, NodeLayout } from './layout.ts'
import { chartStyle } from './style.ts'

/** What to show about one state: a text below its name, and marks. */
export interface NodeOverlay {
  readonly text: string
  readonly mark?: 'current' | 'visited' | 'faded'
}

/** What to show about one edge: a text below its words, how often it was taken, which makes its line wider, and marks. */
export interface EdgeOverlay {
  readonly text: string
  readonly taken: number
  readonly mark?: 'taken' | 'taken last' | 'faded'
}

/** What to show on a chart at one moment. */
export interface Overlay {
  /** A description of all of it for screen readers. */
  readonly label: string
  /** One line below the chart. */
  readonly caption: string
  readonly nodes: ReadonlyMap<string, NodeOverlay>
  readonly edges: ReadonlyMap<string, EdgeOverlay>
}

/** The fixed parts of a picture, between which a request's numbers go. */
type Pieces = readonly string[]

/** The margin around everything that Graphviz has drawn, in the chart's units. */
const margin = 12
const captionHeight = 26
const lineHeight = 13
/** The distance from the top of a line to its baseline. */
const baseline = 10
const cornerRadius = 9
/** The width of a line that was never taken. */
const widthMin = 1

const unmarked: NodeOverlay & EdgeOverlay = { text: '', taken: 0 }

/**
 * A chart that can be rendered any number of times. Ids: `state-running`, `count-running`, `edge-running-fail-dead`,
 * `taken-running-fail-dead`; other charts than the job's put their name first, `worker-state-running`, so that a page may contain several.
 */
export class ChartTemplate {
  readonly #size: string
  readonly #nodes: readonly { readonly id: string; readonly pieces: Pieces }[]
  readonly #edges: readonly { readonly id: string; readonly pieces: Pieces }[]
  /** The node that has no count: the origin. */
  readonly #origin: string
  readonly #captionAt: string

  constructor(chart: Chart, layout: Layout) {
    const prefix = chart.id === charts.job.id ? '' : `${chart.id}-`
    const width = layout.width + 2 * margin
    const height = layout.height + 2 * margin + captionHeight
    const nodes = new Map(chart.nodes.map((node) => [node.id, node]))
    const edges = new Map(chart.edges.map((edge) => [edge.id, edge]))
    const isOrigin = ({ id }: NodeLayout) => nodes.get(id)?.isOrigin ?? true
    this.#size = `viewBox="${-margin} ${-margin} ${width} ${height}" width="${width}" height="${height}"`
    this.#nodes = layout.nodes
      .filter((at) => !isOrigin(at))
      .map((at) => ({ id: at.id, pieces: nodePieces(prefix, nodes.get(at.id)!, at) }))
    this.#edges = layout.edges.flatMap((at) => {
      const edge = edges.get(at.id)
      return edge ? [{ id: at.id, pieces: edgePieces(prefix, edge, at, chart.countsEdges) }] : []
    })
    this.#origin = [
      ...layout.nodes
        .filter(isOrigin)
        .map(({ x, y, width }) => `<circle class="origin" cx="${x}" cy="${y}" r="${width / 2}"/>`),
      ...layout.edges.filter(({ id }) => !edges.has(id)).map((at) => strokes(at).join(`${widthMin}`)),
    ].join('')
    this.#captionAt = `x="0" y="${layout.height + margin + lineHeight}"`
  }

  /** The picture as a file; `inline` for a page that loads `chartStyle` as a style sheet. */
  render(overlay: Overlay, { inline = false } = {}): string {
    const label = xmlText(overlay.label)
    let svg = `<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="${label}" ${this.#size}>`
    if (!inline) svg += `<style>${chartStyle}</style>`
    svg += this.#origin
    for (const { id, pieces } of this.#edges) {
      const { text, taken, mark } = overlay.edges.get(id) ?? unmarked
      svg += `${pieces[0]}${mark ? ` ${mark}` : ''}${pieces[1]}${widthOf(taken)}${pieces[2]}${xmlText(text)}${pieces[3]}`
    }
    for (const { id, pieces } of this.#nodes) {
      const { text, mark } = overlay.nodes.get(id) ?? unmarked
      svg += `${pieces[0]}${mark ? ` ${mark}` : ''}${pieces[1]}${xmlText(text)}${pieces[2]}`
    }
    return `${svg}<text class="caption" ${this.#captionAt}>${xmlText(overlay.caption)}</text></svg>\n`
  }
}

/** The width of a line that was taken this often: it grows with the logarithm. */
function widthOf(count: number): number {
  return count === 0 ? widthMin : Math.round((1.5 + 0.4 * Math.log10(count)) * 100) / 100
}

/** Split at its marks and at its count. */
function nodePieces(prefix: string, node: ChartNode, { id, x, y, width, height }: NodeLayout): Pieces {
  const box = `x="${round(x - width / 2)}" y="${round(y - height / 2)}" width="${width}" height="${height}" rx="${cornerRadius}"`
  return [
    `<g id="${prefix}state-${id}" class="state ${kindOf(node)}`,
    `"><title>${xmlText(`${id}: ${node.description}`)}</title><rect class="box" ${box}/><text class="name" x="${x}" y="${round(y - 4)}">${id}</text>` +
      `<text id="${prefix}count-${id}" class="count" x="${x}" y="${round(y + 13)}">`,
    '</text></g>',
  ]
}

/** Split at its marks, its width and its count. */
function edgePieces(prefix: string, edge: ChartEdge, at: EdgeLayout, countsEdges: boolean): Pieces {
  const { event } = edge
  const words = edgeLines(edge)
  const { x, y } = at.label!
  const top = y - ((words.length + (countsEdges ? 1 : 0)) * lineHeight) / 2 + baseline
  const text = (line: number, attributes: string) =>
    `<text ${attributes} x="${x}" y="${round(top + line * lineHeight)}">`
  const [line, head] = strokes(at)
  return [
    `<g id="${prefix}edge-${edge.id}" class="edge`,
    `"><title>${xmlText(titleOf(edge))}</title>${line}`,
    head +
      words
        .map((word, index) => `${text(index, `class="${word === event ? 'event' : 'guard'}"`)}${xmlText(word)}</text>`)
        .join('') +
      text(words.length, `id="${prefix}taken-${edge.id}" class="count"`),
    '</text></g>',
  ]
}

function titleOf({ event, guard, description }: ChartEdge): string {
  const words = [event, guard].filter((word) => word !== null).join(', ')
  return description ? `${words}: ${description}` : words
}

/** An edge's line and arrowhead, split at the line's width. */
function strokes({ line, head }: EdgeLayout): [string, string] {
  return [`<path class="line" d="${line}" stroke-width="`, `"/><path class="head" d="${head}"/>`]
}

/** Escapes a text for XML. */
function xmlText(text: string): string {
  return text.replace(/[<>&"]/g, (character) => `&#${character.charCodeAt(0)};`)
}

function round(length: number): number {
  return Math.round(length * 10) / 10
}
