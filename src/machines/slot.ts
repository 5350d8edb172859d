import assert from 'node:assert/strict'
import { type SnapshotFrom, setup, transition } from 'xstate'

/** Everything that can happen to a worker's slot. */
type SlotEvent =
  /** A job was given to it, leased and started on disk. */
  | { readonly type: 'assign' }
  /** The handler has ended. */
  | { readonly type: 'settle' }
  /** The handler was aborted, goes on, and is waited for no longer. */
  | { readonly type: 'giveUp' }
  /** A handler that was given up has ended after all. */
  | { readonly type: 'end' }

/**
 * The lifecycle of one slot of a worker: pure. `slots.ts` keeps the slots, and moves each by the table below alone.
 */
export const slotMachine = setup({ types: { events: {} as SlotEvent, tags: {} as SlotTag } }).createMachine({
  id: 'worker',
  initial: 'free',
  states: {
    free: {
      description: 'has nothing to do, waits for a job',
      tags: 'waiting',
      on: { assign: 'running' },
    },
    running: {
      description: 'the start is on disk, the handler called',
      tags: ['held', 'executing'],
      on: { settle: 'free', giveUp: 'stuck' },
    },
    stuck: {
      description: 'the attempt is over, but its handler goes on',
      tags: 'stuck',
      on: { end: 'free' },
    },
  },
})

type SlotTag = 'waiting' | 'held' | 'executing' | 'stuck'
export type SlotPhase = SnapshotFrom<typeof slotMachine>['value']
export type SlotEventType = SlotEvent['type']

const phases = Object.keys(slotMachine.states) as SlotPhase[]

/** The phase of a slot that holds a job. */
export type TakenPhase = Exclude<SlotPhase, 'free'>
export const takenPhases: readonly TakenPhase[] = Object.freeze(
  phases.filter((phase): phase is TakenPhase => phase !== 'free'),
)

/** Where each event leads from each phase, asked of XState once, at import, as `edges.ts` does: two look-ups instead of microseconds. */
const moves = Object.freeze(
  Object.fromEntries(phases.map((phase) => [phase, Object.freeze(movesFrom(phase))])),
) as Readonly<Record<SlotPhase, Readonly<Partial<Record<SlotEventType, SlotPhase>>>>>

/** The phase after `event`; one that the machine does not take is a broken invariant. */
export function nextPhase(phase: SlotPhase, event: SlotEventType): SlotPhase {
  return moves[phase][event] ?? assert.fail(`a slot that is ${phase} does not allow ${event}`)
}

function movesFrom(phase: SlotPhase): Partial<Record<SlotEventType, SlotPhase>> {
  const before = slotMachine.resolveState({ value: phase })
  const taken = (slotMachine.events as SlotEventType[])
    .map((type) => [type, transition(slotMachine, before, { type })[0].value] as const)
    .filter(([, to]) => to !== phase)
  return Object.fromEntries(taken)
}
