import { type SnapshotFrom, setup } from 'xstate'

/** What can happen to a schedule. */
type ScheduleEvent =
  | { readonly type: 'create' }
  /** A tick made its job in time, or late by a minute at most. */
  | { readonly type: 'tick' }
  /** Ticks that make no job: they were missed, or the last job has not ended. */
  | { readonly type: 'skip' }
  /** A missed tick made its job, for itself or for all that were missed. */
  | { readonly type: 'catch_up' }
  | { readonly type: 'pause' }
  | { readonly type: 'resume' }
  /** Its timing, its job or its policies changed. */
  | { readonly type: 'edit' }
  /** A user asked for a job beside the ticks. */
  | { readonly type: 'trigger' }
  /** No tick is left, or somebody ended it. */
  | { readonly type: 'end' }
  /** Its next tick could not be computed. */
  | { readonly type: 'break' }

/** An event after which a schedule is in the state in which it was. */
const stay = <State extends string>(state: State) => ({ target: state, reenter: true }) as const

/**
 * The lifecycle of a schedule, pure like the job's, and compiled by the same code. Tags: `live` ones have their name alone; of the `ticking`
 * ones the next tick is planned; `stuck` ones wait for a user to mend them.
 */
export const scheduleMachine = setup({
  types: { events: {} as ScheduleEvent, tags: {} as ScheduleTag },
}).createMachine({
  id: 'schedule',
  initial: 'new',
  states: {
    new: { description: 'not stored; replay begins here', on: { create: 'active' } },
    active: {
      description: 'makes a job at each tick',
      tags: ['live', 'ticking'],
      on: {
        tick: stay('active'),
        skip: stay('active'),
        catch_up: stay('active'),
        trigger: stay('active'),
        edit: stay('active'),
        pause: 'paused',
        break: 'broken',
        end: 'ended',
      },
    },
    paused: {
      description: 'has no ticks until a user resumes it',
      tags: 'live',
      on: { trigger: stay('paused'), edit: stay('paused'), resume: 'active', end: 'ended' },
    },
    broken: {
      description: 'its next tick could not be computed; it has none until a user edits or resumes it',
      tags: ['live', 'stuck'],
      on: { trigger: stay('broken'), edit: 'active', resume: 'active', end: 'ended' },
    },
    ended: { description: 'has no ticks any more', type: 'final' },
  },
})

export type ScheduleTag = 'live' | 'ticking' | 'stuck'
export type ScheduleEventType = ScheduleEvent['type']
/** The initial node `new` is never stored. */
export type ScheduleNode = SnapshotFrom<typeof scheduleMachine>['value']
export type ScheduleState = Exclude<ScheduleNode, 'new'>
