import { describe, expect, test } from 'vitest'
import { assign, setup, transition } from 'xstate'
import { compileEdges } from '../../src/machines/compile.ts'
import { countAfter } from '../../src/machines/edges.ts'
import type { JobFacts } from '../../src/machines/job.ts'
import { conditionOf } from '../../src/persistence/sql/transitions.ts'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { whenDone } from '../support/temp.ts'

const guardNames = ['isFirst', 'isSecond', 'isThird', 'isElsewhere'] as const
type Guard = (typeof guardNames)[number]
type Facts = Record<Guard, boolean> & JobFacts

/** One event with three guards and an edge for when none holds, one with two guards and no such edge, one with one guard, one without. */
const machine = setup({
  types: { context: {} as Facts, events: {} as { type: 'choose' | 'pass' | 'turn' | 'end' } },
  guards: {
    isFirst: ({ context }) => context.isFirst,
    isSecond: ({ context }) => context.isSecond,
    isThird: ({ context }) => context.isThird,
    isElsewhere: ({ context }) => context.isElsewhere,
  },
  actions: {
    count: assign({ attempt: ({ context }) => context.attempt + 1 }),
    giveBack: assign({ attempt: ({ context }) => context.attempt - 1 }),
    forget: assign({ attempt: 0 }),
  },
}).createMachine({
  context: {
    isFirst: false,
    isSecond: false,
    isThird: false,
    isElsewhere: false,
    attempt: 0,
    maxAttempts: 1,
    crashes: 0,
  },
  initial: 'here',
  states: {
    here: {
      on: {
        choose: [
          { guard: 'isThird', target: 'there', actions: 'count' },
          { guard: 'isFirst', target: 'away' },
          { guard: 'isSecond', target: 'there', actions: 'giveBack' },
          { target: 'there' },
        ],
        pass: [
          { guard: 'isSecond', target: 'away' },
          { guard: 'isElsewhere', target: 'there', actions: 'forget' },
        ],
        end: 'over',
      },
    },
    there: { on: { turn: [{ guard: 'isFirst', target: 'away', actions: 'count' }, { target: 'here' }] } },
    away: { on: { choose: { target: 'over' } } },
    over: { type: 'final' },
  },
})

const edges = compileEdges(machine, guardNames)
const states = ['here', 'there', 'away', 'over'] as const
const events = ['choose', 'pass', 'turn', 'end'] as const
const answers = guardNames.reduce<Record<string, boolean>[]>(
  (all, guard) => all.flatMap((one) => [true, false].map((holds) => ({ ...one, [guard]: holds }))),
  [{}],
) as Record<Guard, boolean>[]

/** The state to which XState goes; null if it stays. */
function follow(state: (typeof states)[number], type: (typeof events)[number], told: Record<Guard, boolean>) {
  const before = machine.resolveState({ value: state, context: { ...told, attempt: 3, maxAttempts: 9, crashes: 0 } })
  if (before.status !== 'active') return null
  const [after] = transition(machine, before, { type })
  return after.value === state ? null : [after.value, after.context.attempt]
}

describe('a machine with three guards on one event', () => {
  test('has an edge for each of them and one for when none holds, in order', () => {
    const chosen = edges.filter(({ from, event }) => from === 'here' && event === 'choose')

    const choice = { from: 'here', event: 'choose', crashes: 'keep' }
    expect(chosen).toEqual([
      { ...choice, to: 'there', attempt: 'count', conditions: [{ guard: 'isThird', holds: true }] },
      {
        ...choice,
        to: 'away',
        attempt: 'keep',
        conditions: [
          { guard: 'isThird', holds: false },
          { guard: 'isFirst', holds: true },
        ],
      },
      {
        ...choice,
        to: 'there',
        attempt: 'giveBack',
        conditions: [
          { guard: 'isThird', holds: false },
          { guard: 'isFirst', holds: false },
          { guard: 'isSecond', holds: true },
        ],
      },
      {
        ...choice,
        to: 'there',
        attempt: 'keep',
        conditions: [
          { guard: 'isThird', holds: false },
          { guard: 'isFirst', holds: false },
          { guard: 'isSecond', holds: false },
        ],
      },
    ])
  })

  test.each(answers)('goes where XState goes, on every event in every state: %o', (told) => {
    for (const state of states) {
      for (const event of events) {
        const taken = edges.filter(
          (edge) =>
            edge.from === state &&
            edge.event === event &&
            edge.conditions.every(({ guard, holds }) => told[guard as Guard] === holds),
        )

        expect(taken.map(({ to, attempt }) => [to, countAfter(attempt, 3)])).toEqual(
          [follow(state, event, told)].filter((found) => found !== null),
        )
      }
    }
  })

  test.each(events)('goes there in SQL too: %s', (event) => {
    const db = openKept(':memory:')
    whenDone(() => db.close())
    db.exec(`CREATE TABLE jobs (state TEXT, ${guardNames.map((guard) => `${guard} INTEGER`).join(', ')})`)
    const insert = db.prepare(`INSERT INTO jobs VALUES (?, ${guardNames.map(() => '?').join(', ')})`)
    const rows = states.flatMap((state) => answers.map((told) => ({ state, told })))
    for (const { state, told } of rows) insert.run(state, ...guardNames.map((guard) => Number(told[guard])))
    const cases = edges
      .filter((edge) => edge.event === event)
      .map(
        (edge) => `WHEN ${conditionOf(edge, { state: 'state' }, (guard) => guard)} THEN '${edge.to} ${edge.attempt}'`,
      )
    // Each edge has all of its conditions, so their order does not matter.
    const ask = (ordered: readonly string[]) =>
      db
        .prepare(`SELECT CASE ${ordered.join(' ')} END FROM jobs ORDER BY rowid`)
        .pluck()
        .all()

    const found = [ask(cases), ask(cases.toReversed())]

    const wanted = rows.map(({ state, told }) => {
      const edge = edges.find(
        ({ from, event: type, conditions }) =>
          from === state && type === event && conditions.every(({ guard, holds }) => told[guard as Guard] === holds),
      )
      return edge ? `${edge.to} ${edge.attempt}` : null
    })
    expect(found).toEqual([wanted, wanted])
  })
})

test('a guard that SQL does not know is refused, with its place', () => {
  const withUnnamed = machine.provide({})
  const unnamed = setup({
    types: { events: {} as { type: 'go' } },
    guards: { isKnown: () => true },
  }).createMachine({
    initial: 'one',
    states: {
      one: {
        on: {
          go: [
            { guard: 'isKnown', target: 'two' },
            { guard: () => true, target: 'two' },
          ],
        },
      },
      two: {},
    },
  })

  expect(() => compileEdges(withUnnamed, ['isFirst', 'isSecond'])).toThrow(/here on choose asks the guard "isThird"/)
  expect(() => compileEdges(unnamed, ['isKnown'])).toThrow(/one on go asks the guard "\(\) => true"/)
})

test.each([
  ['leads back to its own state', { guard: 'isKnown', target: 'one' }, 'one on go leads to no other state'],
  ['leads nowhere', { guard: 'isKnown' }, 'one on go leads to no other state'],
  ['leads into a state of states', { target: 'nest' }, 'one on go leads to nest, which has states of its own'],
  [
    'asks a guard with parameters',
    { guard: { type: 'isKnown', params: 5 }, target: 'two' },
    'one on go asks the guard "isKnown" with parameters',
  ],
])('an edge that %s is refused, and not ignored', (_, edge, message) => {
  const given = setup({ guards: { isKnown: () => true } }).createMachine({
    initial: 'one',
    states: {
      one: { on: { go: [edge as never, { target: 'two' }] } },
      two: {},
      nest: { initial: 'a', states: { a: {} } },
    },
  })

  expect(() => compileEdges(given, ['isKnown'])).toThrow(message)
})

test('an edge for any event is refused, and not ignored', () => {
  const given = setup({}).createMachine({ initial: 'one', states: { one: { on: { '*': 'two' } }, two: {} } })

  expect(() => compileEdges(given, [])).toThrow('one accepts any event, "*", but the table must name each')
})

test('a change of a fact that the table does not have is refused, and not ignored', () => {
  const given = setup({
    types: { context: {} as JobFacts },
    actions: { extend: assign({ maxAttempts: 99 }) },
  }).createMachine({
    context: { attempt: 0, maxAttempts: 1, crashes: 0 },
    initial: 'one',
    states: { one: { on: { go: { target: 'two', actions: 'extend' } } }, two: {} },
  })

  expect(() => compileEdges(given, [])).toThrow('one on go changes maxAttempts, for which the table has no word')
})
