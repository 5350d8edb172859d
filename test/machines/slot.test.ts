import { describe, expect, test } from 'vitest'
import { transition } from 'xstate'
import { nextPhase, type SlotEventType, type SlotPhase, slotMachine } from '../../src/machines/slot.ts'

const phases: SlotPhase[] = ['free', 'running', 'stuck']
const events: SlotEventType[] = ['assign', 'settle', 'giveUp', 'end']

describe('the machine of a slot', () => {
  test('has these phases and events, and begins free', () => {
    expect(Object.keys(slotMachine.states)).toEqual(phases)
    expect([...slotMachine.events].sort()).toEqual([...events].sort())
    expect(slotMachine.config.initial).toBe('free')
  })

  describe.each(phases)('in %s', (phase) => {
    test.each(events)('does by the table what it does by XState on %s', (type) => {
      const [after] = transition(slotMachine, slotMachine.resolveState({ value: phase }), { type })

      if (after.value === phase) expect(() => nextPhase(phase, type)).toThrow(`${phase} does not allow ${type}`)
      else expect(nextPhase(phase, type)).toBe(after.value)
    })
  })

  test('lets a slot come free from wherever it is', () => {
    const ways: [SlotPhase, SlotEventType][] = [
      ['running', 'settle'],
      ['stuck', 'end'],
    ]

    expect(ways.map(([phase, event]) => nextPhase(phase, event))).toEqual(ways.map(() => 'free'))
  })
})
