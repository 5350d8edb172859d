import { describe, expect, test } from 'vitest'
import { InvalidInputError } from '../src/errors.ts'
import type { JobSystem } from '../src/index.ts'
import { aHandler, openSystem } from './support/system.ts'

type Call = (system: JobSystem, options: never) => unknown

const work = aHandler('work', () => {})

/** Calls by what they are called, each with its options. */
const calls: Readonly<Record<string, Call>> = {
  submit: (system, options) => system.submit({ type: 'work', payload: 1 }, options),
  list: (system, options) => system.list({}, options),
  history: (system, options) => system.history(1, options),
  log: (system, options) => system.log(1, options),
  transitions: (system, options) => system.transitions(options),
  path: (system, options) => system.path(1, options),
  backup: (system, options) => system.backup('/nowhere/copy.db', options),
  verify: (system, options) => system.verify(options),
  series: (system, options) => system.series(options),
  result: (system, options) => system.result(1, options),
  cancel: (system, options) => system.cancel(1, options),
  requeue: (system, options) => system.requeue(1, options),
  stop: (system, options) => system.stop(options),
  amend: (system, options) => system.amend(1, { priority: 1 }, options),
  submitChanges: (system, options) => system.submitChanges(1, { priority: 1 }, options),
  prepareBulk: (system, options) => system.prepareBulk('cancel', {}, options),
  'schedules.list': (system, options) => system.schedules.list(options),
  'schedules.put': (system, options) => system.schedules.put(aSchedule, options),
  'schedules.submit': (system, options) => system.schedules.submit(aSchedule, options),
  'schedules.end': (system, options) => system.schedules.end('hourly', options),
  'schedules.pause': (system, options) => system.schedules.pause('hourly', options),
  'schedules.resume': (system, options) => system.schedules.resume('hourly', options),
  'schedules.trigger': (system, options) => system.schedules.trigger('hourly', options),
  'schedules.preview': (system, options) => system.schedules.preview('hourly', options),
  'schedules.previewNew': (system, options) => system.schedules.previewNew(aSchedule, options),
  'schedules.history': (system, options) => system.schedules.history('hourly', options),
}
const aSchedule = { name: 'hourly', cron: '0 * * * *', job: { type: 'work', payload: 1 } }

/** Those whose history keeps who called. */
const caused = Object.entries(calls).filter(([name]) =>
  /submit|cancel|requeue|amend|Bulk|put|end$|pause|resume|trigger/.test(name),
)

/** Errors thrown by the call itself and those that it rejects with. */
async function faultOf(call: () => unknown): Promise<unknown> {
  try {
    await call()
    return null
  } catch (error) {
    return error
  }
}

async function issuesOf(system: JobSystem, call: Call, options: unknown) {
  const fault = await faultOf(() => call(system, options as never))
  expect(fault).toBeInstanceOf(InvalidInputError)
  return (fault as InvalidInputError).issues
}

describe('options of a call', () => {
  test.each(Object.entries(calls))('of %s are refused if they are no object', async (name, call) => {
    const { system } = await openSystem({ handlers: [work] })

    // A number may be the index that `ids.map(system.cancel)` passes.
    const isMapped = caused.some(([caused]) => caused === name)
    for (const options of [null, ...(isMapped ? [] : [5]), 'x', true, ['x']]) {
      const message = expect.stringMatching(`^the options of ${name} must be an object, such as { \\w+ }; got `)
      expect(await issuesOf(system, call, options)).toEqual([{ path: '', message }])
    }
  })

  test.each(Object.entries(calls))('of %s are refused by name if it does not take them', async (name, call) => {
    const { system } = await openSystem({ handlers: [work] })

    const message = expect.stringMatching(`^is not an option of ${name}, which takes `)
    expect(await issuesOf(system, call, { colour: 1 })).toEqual([{ path: 'colour', message }])
  })

  test('name what was probably meant', async () => {
    const { system } = await openSystem({ handlers: [work] })

    expect(await issuesOf(system, calls.history!, { limits: 1 })).toEqual([
      { path: 'limits', message: 'is not an option of history, which takes after and limit; did you mean limit?' },
    ])
  })

  test.each(caused)('of %s are refused if nobody is the caller', async (_name, call) => {
    const { system } = await openSystem({ handlers: [work] })
    await system.start()
    await system.schedules.put(aSchedule)
    await system.enqueue({ type: 'work', payload: 1 })

    for (const by of [null, 'ada', 7])
      expect(await issuesOf(system, call, { by })).toEqual([
        { path: 'by', message: expect.stringMatching(/^must be \{ cause, actor, reason \}; got /) },
      ])
  })
})

test.each([null, 5, {}, ['hourly'], Object.create(null)])(
  'what is no text is not looked for as the name of a schedule: %j',
  async (name) => {
    const { system } = await openSystem({ handlers: [work] })
    const called = ['find', 'end', 'pause', 'resume', 'trigger', 'preview', 'history'] as const

    for (const method of called) {
      const fault = await faultOf(() => system.schedules[method](name as never))
      expect(fault).toMatchObject({
        code: 'invalid_input',
        issues: [{ path: 'name', message: expect.stringMatching(/^must be the name of a schedule, a text; got /) }],
      })
    }
  },
)

test.each<[string, Call, unknown, string]>([
  ['the signal of a list', (system, signal) => system.list({}, { signal }), {}, 'signal'],
  ['the cursor of a list', (system, cursor) => system.list({ cursor }), Object.create(null), 'cursor'],
  ['the filter of a list', (system, filter) => system.list(filter), null, ''],
  ['the place of a page', (system, cursor) => system.schedules.list({ cursor }), ['a'], 'cursor'],
  ['whether ended schedules are listed', (system, ended) => system.schedules.list({ ended }), 'yes', 'ended'],
  ['the place of a history', (system, before) => system.schedules.history('hourly', { before }), null, 'before'],
  ['the progress of a check', (system, onProgress) => system.verify({ onProgress }), 5, 'onProgress'],
  ['the target of a backup', (system, target) => system.backup(target), 5, 'target'],
  ['the target of a backup', (system, target) => system.backup(target), '', 'target'],
  ['the filter of a bulk action', (system, filter) => system.prepareBulk('cancel', filter), null, ''],
])('%s is refused by its path if it is of another kind', async (_what, call, value, path) => {
  const { system } = await openSystem({ handlers: [work] })

  expect(await issuesOf(system, call, value)).toMatchObject([{ path }])
})
