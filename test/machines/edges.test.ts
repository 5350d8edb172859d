import { describe, expect, test } from 'vitest'
import { transition } from 'xstate'
import { getShortestPaths } from 'xstate/graph'
import { compileJobMachine } from '../../src/machines/compile.ts'
import {
  attemptAfter,
  edges,
  eventsFrom,
  eventTypes,
  findEdge,
  jobStates,
  statesTagged,
} from '../../src/machines/edges.ts'
import { type JobEvent, type JobNode, jobMachine } from '../../src/machines/job.ts'
import { jobTable } from '../../src/machines/job-table.ts'

const nodes: JobNode[] = ['new', ...jobStates]
const facts = [
  { attempt: 0, maxAttempts: 1 },
  { attempt: 1, maxAttempts: 1 },
  { attempt: 1, maxAttempts: 2 },
  { attempt: 2, maxAttempts: 2 },
  { attempt: 3, maxAttempts: 4 },
]
const events: JobEvent[] = eventTypes.flatMap((type): JobEvent[] =>
  type === 'enqueue'
    ? [
        { type, delayed: true },
        { type, delayed: false },
      ]
    : [{ type }],
)

describe('the edge table', () => {
  test('is what the machine compiles to, where the build has put it', () => {
    expect(jobTable).toEqual(compileJobMachine())
  })

  test('has the eight states and twelve events of the lifecycle', () => {
    expect([...jobStates].sort()).toEqual([
      'cancelled',
      'dead',
      'leased',
      'queued',
      'retrying',
      'running',
      'scheduled',
      'succeeded',
    ])
    expect([...eventTypes].sort()).toEqual([
      'cancel',
      'due',
      'enqueue',
      'expire',
      'fail',
      'lease',
      'reject',
      'release',
      'requeue',
      'snooze',
      'start',
      'succeed',
    ])
  })

  describe.each(nodes)('from %s', (from) => {
    test.each(events)('does what the machine does on $type', (event) => {
      for (const context of facts) {
        const before = jobMachine.resolveState({ value: from, context })
        const after = before.status === 'active' ? transition(jobMachine, before, event)[0] : before
        const edge = findEdge(from, event, context)

        expect(edge?.to ?? from).toBe(after.value)
        expect(edge ? attemptAfter(edge.attempt, context.attempt) : context.attempt).toBe(after.context.attempt)
      }
    })
  })

  test('is walked whole by paths of the machine', () => {
    const reached = getShortestPaths(jobMachine, {
      input: { attempt: 0, maxAttempts: 2 },
      events,
      limit: 10_000,
      serializeState: ({ value, context }) => `${value} ${context.attempt}`,
    }).map((path) => path.state)
    const taken = new Set<string>()
    for (const state of reached) {
      for (const event of events) {
        const edge = findEdge(state.value as JobNode, event, state.context)
        if (edge) taken.add(`${edge.from} ${edge.event} ${edge.to}`)
      }
    }

    expect([...taken].sort()).toEqual([...new Set(edges.map(({ from, event, to }) => `${from} ${event} ${to}`))].sort())
  })

  test('lets nothing leave succeeded, and only requeue leave dead and cancelled', () => {
    expect(eventsFrom('succeeded')).toEqual([])
    expect(eventsFrom('dead')).toEqual(['requeue'])
    expect(eventsFrom('cancelled')).toEqual(['requeue'])
  })

  test('counts as waiting what the bound on the queue counts', () => {
    expect(statesTagged('waiting')).toEqual(['scheduled', 'queued', 'retrying'])
    expect(statesTagged('held')).toEqual(['leased', 'running'])
    expect(statesTagged('ended')).toEqual(['succeeded', 'dead', 'cancelled'])
    expect(statesTagged('expendable')).toEqual(['succeeded', 'cancelled'])
  })
})
