import { describe, expect, test } from 'vitest'
import { type EventFrom, transition } from 'xstate'
import { type BulkPhase, bulkMachine } from '../../src/machines/bulk.ts'

type EventType = EventFrom<typeof bulkMachine>['type']

const events: EventType[] = ['run', 'stop', 'expire', 'end', 'fail']

/** Every phase, and where each event leads from it; all other events are refused. */
const lifecycle: Record<BulkPhase, Partial<Record<EventType, BulkPhase>>> = {
  counting: { end: 'ready', stop: 'stopped', fail: 'failed' },
  ready: { run: 'moving', stop: 'stopped', expire: 'expired' },
  moving: { end: 'done', stop: 'stopping', fail: 'failed' },
  stopping: { end: 'stopped', fail: 'failed' },
  done: {},
  stopped: {},
  failed: {},
  expired: {},
}

test('there are no other statuses', () => {
  expect(Object.keys(bulkMachine.states)).toEqual(Object.keys(lifecycle))
})

describe.each(Object.entries(lifecycle))('what is %s', (phase, edges) => {
  const snapshot = bulkMachine.resolveState({ value: phase as BulkPhase })

  test.each(events)(`allows %s or refuses it, as its lifecycle says`, (type) => {
    const expected = edges[type]

    expect(snapshot.can({ type })).toBe(expected !== undefined)
    if (expected) expect(transition(bulkMachine, snapshot, { type })[0].value).toBe(expected)
  })

  test('is open until nothing leads out of it', () => {
    expect(snapshot.hasTag('open')).toBe(Object.keys(edges).length > 0)
  })
})
