import { describe, expect, test } from 'vitest'
import { eventsFrom, eventTypes, jobStates } from '../../src/machines/edges.ts'
import { causeOf, commands } from '../../src/machines/events.ts'

describe('the cause of an event', () => {
  test('is named for each of them', () => {
    expect(eventTypes.map((event) => [event, causeOf(event).cause])).toEqual([
      ['enqueue', 'client'],
      ['unblock', 'store'],
      ['cancel', 'person'],
      ['amend', 'person'],
      ['due', 'clock'],
      ['lease', 'dispatcher'],
      ['start', 'dispatcher'],
      ['release', 'dispatcher'],
      ['expire', 'store'],
      ['succeed', 'handler'],
      ['fail', 'handler'],
      ['reject', 'handler'],
      ['snooze', 'handler'],
      ['requeue', 'person'],
    ])
  })

  test('is a person if there is a command for it', () => {
    expect(commands).toEqual(['cancel', 'requeue'])
  })

  test('allows a person these commands in each state', () => {
    const buttons = jobStates.map((state) => [
      state,
      commands.filter((event) => eventsFrom(state).includes(event)).join(),
    ])

    expect(Object.fromEntries(buttons)).toEqual({
      blocked: 'cancel',
      scheduled: 'cancel',
      queued: 'cancel',
      leased: 'cancel',
      running: 'cancel',
      retrying: 'cancel',
      succeeded: '',
      dead: 'cancel,requeue',
      cancelled: 'requeue',
    })
  })
})
