import { describe, expect, test } from 'vitest'
import { transition } from 'xstate'
import { type Assigned, Slots, slotMachine } from '../../src/machines/slots.ts'
import { aLeasedJob } from '../support/prefetch.ts'

type Event = Parameters<Slots['move']>[1]

const phases: Assigned['phase'][] = ['free', 'running', 'stuck']
const events: Event[] = ['assign', 'settle', 'giveUp', 'end']

/** The phase of a slot after an event, as `Slots` moves it. */
function phaseAfter(phase: Assigned['phase'], event: Event): Assigned['phase'] {
  const slots = new Slots([1])
  const assigned = Object.assign(slots.assign(aLeasedJob(1)), { phase })
  slots.move(assigned, event)
  return assigned.phase
}

describe('the machine of a slot', () => {
  test('has these phases and events, and begins free', () => {
    expect(Object.keys(slotMachine.states)).toEqual(phases)
    expect([...slotMachine.events].sort()).toEqual([...events].sort())
    expect(slotMachine.config.initial).toBe('free')
  })

  describe.each(phases)('in %s', (phase) => {
    test.each(events)('does by the table what it does in XState on %s', (type) => {
      const [after] = transition(slotMachine, slotMachine.resolveState({ value: phase }), { type })

      if (after.value === phase) expect(() => phaseAfter(phase, type)).toThrow(`${phase} does not allow ${type}`)
      else expect(phaseAfter(phase, type)).toBe(after.value)
    })
  })

  test('lets a slot become free from any phase', () => {
    expect([phaseAfter('running', 'settle'), phaseAfter('stuck', 'end')]).toEqual(['free', 'free'])
  })
})
