import { describe, expect, test } from 'vitest'
import { type AnyMachineSnapshot, transition } from 'xstate'
import { type Chart, charts, scheduleChart, toMermaid } from '../../src/machines/chart.ts'
import { dispatcherMachine } from '../../src/machines/dispatcher.ts'
import { toDot } from '../../src/machines/dot.ts'
import { edges, eventTypes, findEdge, jobStates } from '../../src/machines/edges.ts'
import { jobMachine } from '../../src/machines/job.ts'
import { scheduleEdges } from '../../src/machines/schedule-edges.ts'
import { slotMachine } from '../../src/machines/slots.ts'

/** Each arrow as `from event to`; what is taken without an event as `from always to`. */
const arrowsOf = ({ edges }: Chart) => edges.map(({ from, event, to }) => `${from} ${event ?? 'always'} ${to}`).sort()
const unique = (arrows: readonly string[]) => [...new Set(arrows)].sort()

describe('the chart of the job machine', () => {
  test('has an arrow for each transition of the machine, and no more', () => {
    const facts = [
      { attempt: 1, maxAttempts: 1, crashes: 0 },
      { attempt: 1, maxAttempts: 2, crashes: 0 },
    ]
    const taken = Object.keys(jobMachine.states).flatMap((from) =>
      eventTypes.flatMap((type) =>
        [{ delayed: true }, { delayed: false }, { delayed: false, blocked: true }].flatMap((told) =>
          facts.flatMap((context) => {
            const before = jobMachine.resolveState({ value: from as never, context })
            if (before.status !== 'active') return []
            if (!before.can({ type, ...told } as never)) return []
            const [after] = transition(jobMachine, before, { type, ...told } as never)
            return [`${from} ${type} ${after.value}`]
          }),
        ),
      ),
    )

    expect(arrowsOf(charts.job)).toEqual(unique(taken))
  })

  test('says for each arrow which guard it needs', () => {
    const guarded = charts.job.edges.filter(({ guard }) => guard).map(({ id, guard }) => `${id}: ${guard}`)

    expect(guarded).toEqual([
      'new-enqueue-blocked: unique key held',
      'new-enqueue-scheduled: run_at ahead',
      'new-enqueue-queued: now',
      'blocked-unblock-scheduled: run_at ahead',
      'blocked-unblock-queued: now',
      'scheduled-amend-scheduled: run_at ahead',
      'scheduled-amend-queued: now',
      'queued-amend-scheduled: run_at ahead',
      'queued-amend-queued: now',
      'running-expire-retrying: crash or attempts remain',
      'running-expire-dead: fourth crash or last attempt',
      'running-fail-retrying: attempts remain',
      'running-fail-dead: last attempt',
      'retrying-amend-retrying: run_at ahead',
      'retrying-amend-queued: now',
    ])
    expect(findEdge('running', { type: 'fail' }, { attempt: 3, maxAttempts: 3, crashes: 0 })?.to).toBe('dead')
  })

  test('begins at a dot, and has a box for each stored state in the order of the lifecycle', () => {
    const [origin, ...boxes] = charts.job.nodes

    expect(origin).toMatchObject({ id: 'new', initial: true, isOrigin: true })
    expect(boxes.map(({ id }) => id)).toEqual(jobStates)
    expect(boxes.filter(({ isOrigin, initial }) => isOrigin || initial)).toEqual([])
    expect(boxes.filter(({ final }) => final).map(({ id }) => id)).toEqual(['succeeded'])
  })

  test('has the table’s edges in its order, with edges between the same states on one event as one', () => {
    const ids = edges.map(({ from, event, to }) => `${from}-${event}-${to}`)

    expect(charts.job.edges.map(({ id }) => id)).toEqual([...new Set(ids)])
  })
})

describe('the chart of the dispatcher', () => {
  const modes = Object.keys(dispatcherMachine.states)

  /** The mode after an event, with guards that answer as given; no action is executed. */
  function modeAfter(mode: string, type: string, answers: { idle?: boolean; allStuck?: boolean } = {}): unknown {
    const { idle = false, allStuck = false } = answers
    const context = { prefetch: { idle }, slots: { allStuck } }
    const before = dispatcherMachine.resolveState({ value: mode as never, context: context as never })
    if (before.status !== 'active') return mode
    return (transition(dispatcherMachine, before, { type, refused: [] } as never)[0] as AnyMachineSnapshot).value
  }

  test('has an arrow for each transition of the machine, and no more', () => {
    const moving = (mode: string, event: string, to: unknown) => (to === mode ? [] : [`${mode} ${event} ${to}`])
    const taken = modes.flatMap((mode) => [
      ...dispatcherMachine.events.flatMap((type) => moving(mode, type, modeAfter(mode, type))),
      // After an event that changes nothing, the guards are evaluated again.
      ...moving(mode, 'always', modeAfter(mode, 'gathered', { idle: true })),
      ...moving(mode, 'always', modeAfter(mode, 'gathered', { allStuck: true })),
    ])

    expect(arrowsOf(charts.dispatcher)).toEqual(unique(taken))
    expect(arrowsOf(charts.dispatcher)).toHaveLength(6)
  })

  test('says when it moves by itself', () => {
    const ofItself = charts.dispatcher.edges.filter(({ event }) => event === null)

    expect(ofItself.map(({ id, guard }) => [id, guard])).toEqual([
      ['dispatching-always-stuck', 'every slot is stuck'],
      ['draining-always-stopped', 'nothing is left'],
    ])
  })
})

test('the chart of a slot has an arrow for each transition of its machine, and no more', () => {
  const taken = Object.keys(slotMachine.states).flatMap((from) =>
    slotMachine.events.flatMap((type) => {
      const before = slotMachine.resolveState({ value: from as never })
      const [after] = transition(slotMachine, before, { type } as never)
      return after.value === from ? [] : [`${from} ${type} ${after.value}`]
    }),
  )

  expect(arrowsOf(charts.worker)).toEqual(unique(taken))
})

test('the chart of a schedule has an arrow for each event that leads to another state, and no more', () => {
  const moves = scheduleEdges.filter(({ from, to }) => from !== to)

  expect(arrowsOf(scheduleChart)).toEqual(unique(moves.map(({ from, event, to }) => `${from} ${event} ${to}`)))
})

describe.each([...Object.values(charts), scheduleChart])('the chart $id', (chart) => {
  test('has its own id', () => {
    expect({ ...charts, schedule: scheduleChart }[chart.id]).toBe(chart)
  })

  test('names each edge once, by what it joins', () => {
    const ids = chart.edges.map(({ id }) => id)

    expect(new Set(ids).size).toBe(ids.length)
    expect(ids).toEqual(chart.edges.map(({ from, event, to }) => `${from}-${event ?? 'always'}-${to}`))
  })

  test('describes each node and each edge, and has names that need no escaping anywhere', () => {
    const words = [
      ...chart.nodes.map(({ description }) => description),
      ...chart.edges.map((edge) => edge.guard ?? edge.description),
    ]

    expect(words.filter((text) => !text)).toEqual([])
    for (const { id } of [...chart.nodes, ...chart.edges]) expect(id).toMatch(/^[A-Za-z-]+$/)
    for (const { guard } of chart.edges) expect(guard ?? '').toMatch(/^[a-z_ ]*$/)
  })

  test('has one initial node', () => {
    expect(chart.nodes.filter(({ initial }) => initial)).toHaveLength(1)
  })

  test('is written as Mermaid arrow by arrow', () => {
    const lines = toMermaid(chart).split('\n')
    const labels = lines.slice(1).flatMap((line) => line.split(': ')[1]?.split(' / ') ?? [])

    expect(lines[0]).toBe('stateDiagram-v2')
    expect(labels).toHaveLength(chart.edges.length)
    expect(lines.filter((line) => line.startsWith('  [*] --> '))).not.toEqual([])
  })

  test('is written as Graphviz node by node and edge by edge', () => {
    const dot = toDot(chart)

    for (const { id } of chart.nodes) expect(dot).toContain(`\n  "${id}" [`)
    for (const { id, from, to } of chart.edges) expect(dot.split(`"${from}" -> "${to}" [id="${id}" `)).toHaveLength(2)
  })
})
