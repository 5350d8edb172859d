import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { InvalidInputError } from '../../src/errors.ts'
import { createJobSystem, defineHandler, type JobSystem } from '../../src/index.ts'
import { aHandler, openSystem, startSystem } from '../support/system.ts'

/** As a caller without types sees it. */
// biome-ignore lint/suspicious/noExplicitAny: the mistakes are those that types would show
type Untyped = any

describe('a first call that cannot work is answered with what was expected', () => {
  test('a promise of a system that is used like one', async () => {
    const { path } = await openSystem({ runs: { work() {} } })
    const promise: Untyped = createJobSystem({ database: `${path}2`, handlers: [] })

    for (const method of ['start', 'enqueue', 'stop'])
      expect(() => promise[method]()).toThrow(`createJobSystem returns a promise: await it before you call ${method}`)
    await (await promise).stop()
  })

  test.each<[string, (system: Untyped) => unknown, RegExp]>([
    [
      'a type and a payload',
      (system) => system.enqueue('work', {}),
      /^must be a job \{ type, payload \}, .*; got 'work'$/,
    ],
    ['an import that does not exist', (system) => system.enqueue(undefined, {}), /; got undefined$/],
    ['the function of a handler', (system) => system.enqueue(() => {}, {}), /; got \[Function/],
    [
      'options that are no object',
      (system) =>
        system.enqueue(
          aHandler('work', () => {}),
          1,
          5,
        ),
      /^options must be .*got 5$/,
    ],
    [
      'a job with options beside it',
      (system) => system.enqueue({ type: 'work', payload: 1 }, { delayMs: 5 }),
      /^a second argument is only for a handler and its payload/,
    ],
    [
      'fields of other libraries',
      (system) => system.enqueue({ name: 'work', data: 1 }),
      /did you mean type\?.*did you mean payload\?/,
    ],
    ['an id as text', (system) => system.find('1'), /^id: must be the id of a job, a number; got '1'$/],
    [
      'a job in the place of its id',
      async (system) => system.cancel(await system.enqueue({ type: 'work', payload: 1 })),
      /got \{ id: 1/,
    ],
    ['no id', (system) => system.explain(), /got undefined$/],
    ['an id of a history as text', (system) => system.history('1'), /got '1'$/],
    ['an id of a path as text', (system) => system.path('1'), /got '1'$/],
    ['a state alone', (system) => system.list('dead'), /^must be a filter, such as \{ type: 'mail' \}; got 'dead'$/],
    [
      'a grace that is no number',
      (system) => system.stop({ graceMs: '5s' }),
      /^graceMs: must be 0 or more milliseconds; got '5s'$/,
    ],
    [
      'a grace alone',
      (system) => system.stop(5_000),
      /^the options of stop must be an object, such as \{ graceMs \}; got 5000$/,
    ],
  ])('%s', async (_, call, sentence) => {
    const { system } = await openSystem({ runs: { work() {} } })

    const refusal = await Promise.resolve(call(system)).catch((error: unknown) => error)

    expect(refusal).toBeInstanceOf(InvalidInputError)
    expect(refusal).toMatchObject({ message: expect.stringMatching(sentence) })
  })
})

test('the methods of a system can be taken from it', async () => {
  const { system } = await startSystem({ runs: { work() {} } })
  const { enqueue, find, health }: JobSystem = system

  const { id } = await enqueue({ type: 'work', payload: 1 })

  expect(await find(id)).toMatchObject({ type: 'work' })
  expect(health()).toEqual({ ready: true, reason: null })
})

test('a system without handlers says that it runs nothing', async () => {
  const { log } = await startSystem({ runs: null })

  expect(log).toContainEqual(expect.objectContaining({ message: expect.stringMatching(/this process only enqueues/) }))
})

const rest = { type: 'work', payload: z.unknown(), run() {} }

test.each<[string, unknown, string]>([
  ['nothing', undefined, 'got undefined'],
  [
    'a function',
    function resize() {},
    'got the function resize; wrap it: defineHandler({ type, payload, run: resize })',
  ],
  ['a function without a name', (() => () => {})(), 'got a function; wrap it: defineHandler({ type, payload, run })'],
  ['a class', class Resize {}, 'got the class Resize; pass an instance of it: new Resize()'],
  ['a promise', Promise.resolve(rest), 'got a promise; await it first'],
  ['an array', [rest], 'got an array; list its handlers themselves: [...handlers]'],
  ['a module', { default: rest }, 'got a module; use its default export'],
  [
    'the name of another library',
    { ...rest, type: undefined, name: 'work' },
    'name is not a property of a handler; did you mean type?',
  ],
  [
    'a handler function',
    { type: 'work', payload: z.unknown(), handler() {} },
    'handler is not a property of a handler; did you mean run?',
  ],
  [
    'a schema',
    { type: 'work', schema: z.unknown(), run() {} },
    'schema is not a property of a handler; did you mean payload?',
  ],
  ['no payload', { type: 'work', run() {} }, 'but there is none; with zod, z.unknown() accepts any payload'],
  ['a shape', { ...rest, payload: { n: z.number() } }, 'got an object of schemas; wrap it: z.strictObject({ … })'],
  ['the name of a type', { ...rest, payload: 'string' }, "got 'string'"],
  ['a run that was called', { ...rest, run: Promise.resolve() }, 'write the function itself, without calling it'],
  ['a class to run', { ...rest, run: class Resize {} }, 'run must be a function, got a class'],
  ['a type with a blank', { ...rest, type: 'send mail' }, "begin with a letter or digit, got 'send mail'"],
])('a handler that is %s is refused with what to write instead', (_, given, sentence) => {
  expect(() => defineHandler(given as never)).toThrow(TypeError)
  expect(() => defineHandler(given as never)).toThrow(sentence)
})
