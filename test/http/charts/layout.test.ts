import type { Worker } from 'node:worker_threads'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Layout, NodeLayout } from '../../../src/http/dashboard/charts/layout.ts'
import { charts } from '../../../src/machines/chart.ts'
import { built } from '../../support/built.ts'

const threads: Worker[] = []
const exits: Promise<number>[] = []
/** Turns of the loop while the charts were laid out. */
let turns = 0
let all: Layout[]
let layoutOf: typeof import('../../../src/http/dashboard/charts/layout.ts').layoutOf

beforeAll(async () => {
  // Another file's tests may have had the charts laid out in this process.
  layoutOf = (await import(`${built('http/dashboard/charts/layout.js')}?anew`)).layoutOf
  const onThread = (thread: Worker) => {
    threads.push(thread)
    exits.push(new Promise((resolve) => thread.once('exit', resolve)))
  }
  process.on('worker', onThread)
  let turning = setImmediate(function turn() {
    turns++
    turning = setImmediate(turn)
  })
  // Every chart, all at once, and the first one again.
  all = await Promise.all([...Object.values(charts), charts.job].map(layoutOf))
  clearImmediate(turning)
  process.off('worker', onThread)
})

describe('laying out', () => {
  test('uses one thread for all charts, which then ends', async () => {
    expect(threads).toHaveLength(1)
    expect(await Promise.all(exits)).toEqual([0])
  })

  test('does not block the loop', () => {
    // It takes hundreds of milliseconds. On this thread, the loop would turn only once or twice for each chart.
    expect(turns).toBeGreaterThan(100)
  })

  test('is done once: a finished layout is kept', async () => {
    expect(all[0]).toBe(all.at(-1))
    expect(await layoutOf(charts.job)).toBe(all[0])
    expect(threads).toHaveLength(1)
  })
})

describe.each(Object.values(charts))('the layout of the chart $id', (chart) => {
  test('has a place for every node and a path for every edge', async () => {
    const { nodes, edges } = await layoutOf(chart)

    expect(nodes.map(({ id }) => id)).toEqual(expect.arrayContaining(chart.nodes.map(({ id }) => id)))
    expect(edges.map(({ id }) => id)).toEqual(expect.arrayContaining(chart.edges.map(({ id }) => id)))
    // One more arrow, to the initial state of a machine that has no node for the start.
    expect(edges.length - chart.edges.length).toBe(nodes.length - chart.nodes.length)
    for (const { line, head } of edges) {
      expect(line).toMatch(/^M[-\d.]+ [-\d.]+C[-\d. ]+$/)
      expect(head).toMatch(/^M[-\d. L]+Z$/)
    }
  })

  test('has no overlaps, and everything inside its frame', async () => {
    const { nodes, width, height } = await layoutOf(chart)
    const left = (node: NodeLayout) => node.x - node.width / 2
    const top = (node: NodeLayout) => node.y - node.height / 2

    for (const one of nodes) {
      expect(left(one)).toBeGreaterThanOrEqual(0)
      expect(top(one)).toBeGreaterThanOrEqual(0)
      expect(left(one) + one.width).toBeLessThanOrEqual(width)
      expect(top(one) + one.height).toBeLessThanOrEqual(height)
      for (const other of nodes.filter(({ id }) => id !== one.id)) {
        const apart =
          2 * Math.abs(one.x - other.x) > one.width + other.width ||
          2 * Math.abs(one.y - other.y) > one.height + other.height
        expect([one.id, other.id, apart]).toEqual([one.id, other.id, true])
      }
    }
  })

  test('fits a screen', async () => {
    const { width, height } = await layoutOf(chart)

    expect(width).toBeLessThan(1_050)
    expect(height).toBeLessThan(700)
  })
})

test('shows a job’s usual way as one straight line from left to right', async () => {
  const { nodes } = await layoutOf(charts.job)
  const way = ['new', 'queued', 'leased', 'running', 'succeeded'].map((id) => nodes.find((node) => node.id === id)!)

  expect(new Set(way.map(({ y }) => Math.round(y))).size).toBe(1)
  expect(way.map(({ x }) => x)).toEqual(way.map(({ x }) => x).sort((a, b) => a - b))
})
