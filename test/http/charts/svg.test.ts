import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Layout } from '../../../src/http/dashboard/charts/layout.ts'
import { layoutOf } from '../../../src/http/dashboard/charts/layout.ts'
import { renderMachine } from '../../../src/http/dashboard/charts/render.ts'
import { chartStyle, chartStyleSource } from '../../../src/http/dashboard/charts/style.ts'
import { ChartTemplate, type Overlay } from '../../../src/http/dashboard/charts/svg.ts'
import type { JobSystem } from '../../../src/index.ts'
import { type Chart, charts } from '../../../src/machines/chart.ts'
import { byId, elementsOf, parseXml } from '../../support/xml.ts'

const empty: Overlay = { label: '', caption: '', nodes: new Map(), edges: new Map() }
const templateOfChart = async (chart: Chart) => new ChartTemplate(chart, await layoutOf(chart))

describe.each(Object.values(charts))('the picture of the chart $id', (chart) => {
  const named = (id: string) => (chart.id === charts.job.id ? id : `${chart.id}-${id}`)

  test('is well-formed, and has each id once', async () => {
    const svg = parseXml((await templateOfChart(chart)).render(empty))
    const ids = elementsOf(svg).flatMap(({ attributes }) => attributes.id ?? [])

    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.sort()).toEqual(
      [
        ...chart.nodes
          .filter(({ isOrigin }) => !isOrigin)
          .flatMap(({ id }) => [named(`state-${id}`), named(`count-${id}`)]),
        ...chart.edges.flatMap(({ id }) => [named(`edge-${id}`), named(`taken-${id}`)]),
      ].sort(),
    )
  })

  test('says what each state and each edge means', async () => {
    const svg = parseXml((await templateOfChart(chart)).render(empty))
    const titleOf = (id: string) => byId(svg, id).children.find(({ name }) => name === 'title')?.text

    for (const { id, description, isOrigin } of chart.nodes) {
      if (!isOrigin) expect(titleOf(named(`state-${id}`))).toBe(`${id}: ${description}`)
    }
    for (const { id, event, guard } of chart.edges) {
      expect(titleOf(named(`edge-${id}`))).toContain(event ?? guard)
      const lines = byId(svg, named(`edge-${id}`)).children.map(({ name, text }) => (name === 'title' ? '' : text))
      // A guard of several words may take several lines.
      expect(lines.filter((line) => line !== '').join(' ')).toContain([event, guard].filter(Boolean).join(' '))
    }
  })

  test('has only the style that its policy permits', async () => {
    const svg = (await templateOfChart(chart)).render(empty)
    const [style, ...more] = elementsOf(parseXml(svg)).filter(({ name }) => name === 'style')

    expect(more).toEqual([])
    expect(style!.text).toBe(chartStyle)
    const hash = createHash('sha256').update(style!.text).digest('base64')
    expect(chartStyleSource).toBe(`'sha256-${hash}'`)
    expect(svg).not.toMatch(/ style=| on\w+=|<script|href/)
  })

  test('omits its style if the page has it', async () => {
    const svg = (await templateOfChart(chart)).render(empty, { inline: true })

    expect(svg).not.toContain('<style')
    expect(byId(parseXml(svg), named(`state-${chart.nodes.at(-1)!.id}`))).toBeDefined()
  })
})

test('a picture shows the given states and edges, and only there', async () => {
  const svg = parseXml(
    (await templateOfChart(charts.job)).render({
      label: 'in words',
      caption: 'below',
      nodes: new Map([['dead', { text: '7', mark: 'current' }]]),
      edges: new Map([['running-fail-dead', { text: '12×', taken: 10, mark: 'taken last' }]]),
    }),
  )
  const counts = elementsOf(svg).filter(({ attributes, text }) => attributes.class === 'count' && text !== '')

  expect(svg.attributes).toMatchObject({ role: 'img', 'aria-label': 'in words' })
  expect(counts.map(({ attributes, text }) => [attributes.id, text])).toEqual([
    ['taken-running-fail-dead', '12×'],
    ['count-dead', '7'],
  ])
  expect(byId(svg, 'state-dead').attributes.class).toBe('state badly current')
  const edge = byId(svg, 'edge-running-fail-dead')
  expect(edge.attributes.class).toBe('edge taken last')
  expect(edge.children.find(({ attributes }) => attributes.class === 'line')?.attributes['stroke-width']).toBe('1.9')
  expect(svg.children.at(-1)!.text).toBe('below')
})

test('no text in a picture can become markup', () => {
  const hostile = `</title><script>"'&amp;`
  const node = { tags: [], initial: true, final: false, isOrigin: false }
  const chart: Chart = {
    id: charts.job.id,
    title: hostile,
    countsEdges: true,
    nodes: [{ ...node, id: 'a', description: hostile }],
    edges: [{ id: 'a-b-a', from: 'a', event: 'b', to: 'a', guard: hostile, isElse: false, description: hostile }],
  }
  const layout: Layout = {
    width: 1,
    height: 1,
    nodes: [{ id: 'a', x: 0, y: 0, width: 1, height: 1 }],
    edges: [{ id: 'a-b-a', line: 'M0 0', head: 'M0 0Z', label: { x: 0, y: 0 } }],
  }

  const svg = parseXml(
    new ChartTemplate(chart, layout).render({
      label: hostile,
      caption: hostile,
      nodes: new Map([['a', { text: hostile }]]),
      edges: new Map([['a-b-a', { text: hostile, taken: 0 }]]),
    }),
  )

  expect(svg.attributes['aria-label']).toBe(hostile)
  expect(byId(svg, 'count-a').text).toBe(hostile)
  expect(byId(svg, 'taken-a-b-a').text).toBe(hostile)
  expect(elementsOf(svg).map(({ name }) => name)).not.toContain('script')
})

test('a line grows with the logarithm of how often it was taken, and stays a line', async () => {
  const template = await templateOfChart(charts.job)
  const widths = [0, 1, 10, 1_000, 1e9, Number.MAX_SAFE_INTEGER].map((taken) => {
    const edges = new Map([['running-fail-dead', { text: '', taken }]])
    const { children } = byId(parseXml(template.render({ ...empty, edges })), 'edge-running-fail-dead')
    return Number(children.find(({ attributes }) => attributes.class === 'line')?.attributes['stroke-width'])
  })

  expect(widths).toEqual([...new Set(widths)].sort((a, b) => a - b))
  expect(widths[2]! - widths[1]!).toBeCloseTo(0.4)
  expect(widths.at(-1)).toBeLessThan(9)
})

test('a count that does not fit is shortened, but announced in full to screen readers', async () => {
  const counts = [
    { from: 'running', event: 'succeed', to: 'succeeded', count: 1_234_567_890 },
    { from: 'running', event: 'fail', to: 'dead', count: 1_234_567 },
  ]
  const svg = parseXml(await renderMachine({ edgeCounts: async () => counts } as unknown as JobSystem, 'job'))

  expect(byId(svg, 'count-succeeded').text).toBe('1.235B')
  expect(byId(svg, 'taken-running-fail-dead').text).toBe('1.235M')
  expect(svg.attributes['aria-label']).toContain('1,234,567,890 succeeded')
  expect(svg.attributes['aria-label']).toContain('fail from running to dead 1,234,567')
})
