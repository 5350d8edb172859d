import { describe, expect, test } from 'vitest'
import { transition } from 'xstate'
import { getShortestPaths } from 'xstate/graph'
import { compileJobMachine } from '../../src/machines/compile.ts'
import {
  countAfter,
  edges,
  eventsFrom,
  eventTypes,
  findEdge,
  jobStates,
  statesWithTag,
} from '../../src/machines/edges.ts'
import { type JobNode, jobMachine } from '../../src/machines/job.ts'
import { jobTable } from '../../src/machines/job-table.ts'
import { allEvents as events } from '../support/events.ts'

const nodes: JobNode[] = ['new', ...jobStates]
const facts = [
  { attempt: 0, maxAttempts: 1 },
  { attempt: 1, maxAttempts: 1 },
  { attempt: 1, maxAttempts: 2 },
  { attempt: 2, maxAttempts: 2 },
  { attempt: 3, maxAttempts: 4 },
].flatMap((attempts) => [0, 1, 2, 3, 4].map((crashes) => ({ ...attempts, crashes })))

describe('the edge table', () => {
  test('is what the machine compiles to, and the build has stored it', () => {
    expect(jobTable).toEqual(compileJobMachine())
  })

  test('has the nine states and fourteen events of the lifecycle', () => {
    expect([...jobStates].sort()).toEqual([
      'blocked',
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
      'amend',
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
      'unblock',
    ])
  })

  describe.each(nodes)('from %s', (from) => {
    test.each(events)('does what the machine does on %o', (event) => {
      for (const context of facts) {
        const before = jobMachine.resolveState({ value: from, context })
        const after = before.status === 'active' ? transition(jobMachine, before, event)[0] : before
        const edge = findEdge(from, event, context)

        expect(edge?.to ?? from).toBe(after.value)
        expect(edge ? countAfter(edge.attempt, context.attempt) : context.attempt).toBe(after.context.attempt)
        expect(edge ? countAfter(edge.crashes, context.crashes) : context.crashes).toBe(after.context.crashes)
      }
    })
  })

  test('is covered completely by paths of the machine', () => {
    const reached = getShortestPaths(jobMachine, {
      input: { attempt: 0, maxAttempts: 2, crashes: 0 },
      events,
      limit: 10_000,
      serializeState: ({ value, context }) => `${value} ${context.attempt} ${context.crashes}`,
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

  test('lets a crash cost no attempt, and makes the fourth the last, whatever the attempts', () => {
    const crash = (crashes: number, attempt: number) =>
      findEdge('running', { type: 'expire', crashed: true }, { attempt, maxAttempts: 3, crashes })

    for (const attempt of [1, 3]) {
      expect([0, 1, 2, 3].map((crashes) => crash(crashes, attempt)?.to)).toEqual([
        'retrying',
        'retrying',
        'retrying',
        'dead',
      ])
      expect(crash(3, attempt)).toMatchObject({ attempt: 'giveBack', crashes: 'count' })
    }
  })

  test.each(['succeed', 'fail', 'reject', 'snooze'] as const)('forgets crashes when an attempt ends by %s', (type) => {
    for (const attempt of [1, 3])
      expect(findEdge('running', { type }, { attempt, maxAttempts: 3, crashes: 3 })?.crashes).toBe('forget')
  })

  test('has no way out of succeeded, and only cancel and requeue out of dead, requeue out of cancelled', () => {
    expect(eventsFrom('succeeded')).toEqual([])
    expect(eventsFrom('dead')).toEqual(['requeue', 'cancel'])
    expect(eventsFrom('cancelled')).toEqual(['requeue'])
  })

  test('tags as waiting the states that the limit on waiting jobs counts', () => {
    expect(statesWithTag('waiting')).toEqual(['blocked', 'scheduled', 'queued', 'retrying'])
    expect(statesWithTag('held')).toEqual(['leased', 'running'])
    expect(statesWithTag('ended')).toEqual(['succeeded', 'dead', 'cancelled'])
    expect(statesWithTag('expendable')).toEqual(['succeeded', 'cancelled'])
  })
})
