import { type Chart, type ChartEdge, type ChartNode, edgeLines } from './chart.ts'

/** The dot whose arrow leads to the initial state, if the machine has no node for it. */
const entryId = '[*]'
const entryShape = 'shape=circle width=0.2 height=0.2 label=""'
/** Space for a count beside an edge. */
const countRoom = '000,000'
/** A chart with at most this many edges has space to spare. */
const fewEdges = 10
/** States with one of these tags are beside the usual path. */
const asideTags = ['timed', 'blocked', 'stuck']

/**
 * A chart in Graphviz's language, each edge with its id and with space for its text and its count. From left to right, with the states of
 * the usual path in one line and all ends below each other. The last edges come first, because then fewer lines bend.
 */
export function toDot(chart: Chart): string {
  const way = chart.nodes.filter(isOnTheWay).map(({ id }) => id)
  const ends = chart.nodes.filter(({ tags }) => tags.includes('ended')).map(({ id }) => `"${id}"`)
  // What waits for another job is above what waits for its time: in a column of its own it would widen the chart.
  const first = ['blocked', 'timed'].flatMap((tag) => chart.nodes.find(({ tags }) => tags.includes(tag)) ?? [])
  const spacing = chart.edges.length > fewEdges ? 'nodesep=0.14 ranksep=0.2' : 'nodesep=0.35 ranksep=0.45'
  return [
    `digraph "${chart.id}" {`,
    `  graph [rankdir=LR ${spacing}]`,
    '  node [shape=box style=rounded fixedsize=true width=1.3 height=0.62 fontname=Arial fontsize=13]',
    '  edge [fontname=Arial fontsize=11 arrowsize=1.1]',
    ...chart.nodes.flatMap((node) => [
      `  "${node.id}" [${node.isOrigin ? entryShape : ''} ${way.includes(node.id) ? 'group=way' : ''}]`,
      ...(node.initial && !node.isOrigin
        ? [`  "${entryId}" [${entryShape} group=way]`, `  "${entryId}" -> "${node.id}" [id="${entryId}"]`]
        : []),
    ]),
    ...chart.edges.toReversed().map((edge) => {
      const [from, to] = [way.indexOf(edge.from), way.indexOf(edge.to)]
      const weight = from >= 0 && to > from ? 'weight=20' : ''
      return `  "${edge.from}" -> "${edge.to}" [id="${edge.id}" label=<${roomFor(chart, edge)}> ${weight}]`
    }),
    `  { rank=same; ${ends.join('; ')} }`,
    ...(first.length === 2 ? [`  { rank=same; ${first.map(({ id }) => `"${id}"`).join('; ')} }`] : []),
    '}',
  ].join('\n')
}

function isOnTheWay({ tags, final }: ChartNode): boolean {
  return final || !(tags.includes('ended') || asideTags.some((tag) => tags.includes(tag)))
}

function roomFor({ countsEdges }: Chart, edge: ChartEdge): string {
  const lines = [...edgeLines(edge), ...(countsEdges ? [countRoom] : [])]
  const padding = countsEdges ? 2 : 5
  return `<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="${padding}"><TR><TD>${lines.join('<BR/>')}</TD></TR></TABLE>`
}
