import { expect, test } from 'vitest'
import { z } from 'zod'
import { ConfigError } from '../../src/errors.ts'
import { createJobSystem, defineHandler, type JobSystemOptions } from '../../src/index.ts'

const work = defineHandler({ type: 'work', payload: z.unknown(), run() {} })
const database = '/nowhere/jobs.db'

test.each<[string, unknown, string[]]>([
  [
    'handlers misspelt',
    { database, handler: [work] },
    ['handler is not an option of createJobSystem; did you mean handlers?'],
  ],
  [
    'a setting misspelt',
    { database, worker: 3 },
    ['worker is not an option of createJobSystem; did you mean workers?'],
  ],
  [
    'a setting of another library',
    { database, concurrency: 3 },
    ['concurrency is not an option of createJobSystem; did you mean workers?'],
  ],
  [
    'what no library has',
    { database, zzz: 3 },
    [expect.stringMatching(/^zzz is not an option .*; they are database, postgres, handlers, .*workers/)],
  ],
  ['nothing', undefined, ['createJobSystem needs an object of options with at least database, but got undefined']],
  [
    'a path alone',
    database,
    [expect.stringMatching(/^createJobSystem needs an object of options with at least database, but got '/)],
  ],
  [
    'no database',
    { handlers: [work] },
    [expect.stringMatching(/^database is undefined; it must be the path of a file/)],
  ],
  [
    'an address that is not set',
    { postgres: undefined, handlers: [work] },
    ['postgres is undefined: is the variable set that has its address, such as DATABASE_URL?'],
  ],
  [
    'an address without a string',
    { postgres: { connectionString: undefined } },
    [expect.stringMatching(/^postgres has no connectionString; it must be an address such as postgres:/)],
  ],
  [
    'an address that cannot be read',
    { postgres: 'postgres://me:se#cret@db/app' },
    [expect.stringMatching(/^postgres has an invalid connectionString; it must be (?!.*cret)/)],
  ],
  ['a number as text', { database, workers: '3' }, ["workers is '3'; it must be a whole number from 1 to 1000"]],
  [
    'a map of handlers',
    { database, handlers: { work } },
    [
      'handlers is { work: [Object] }; it must be an array of handlers from defineHandler: Object.values(handlers); a producer leaves it out',
    ],
  ],
  ['one handler', { database, handlers: work }, [expect.stringMatching(/^handlers is \{ type: 'work'/)]],
  [
    'null for handlers',
    { database, handlers: null },
    [expect.stringMatching(/^handlers is null; it must be an array/)],
  ],
  ['a handler twice', { database, handlers: [work, work] }, ['handlers has more than one for type "work"']],
  [
    'two handlers of a type',
    { database, handlers: [work, { ...work }] },
    ['handlers has more than one for type "work"'],
  ],
  [
    'a handler that is not there yet',
    { database, handlers: [work, undefined] },
    ['handlers[1] is undefined, as what two modules import from each other may be'],
  ],
  [
    'a function for a handler',
    { database, handlers: [() => {}] },
    [
      expect.stringMatching(
        /^handlers\[0\]: a handler must be an object of type, payload and run, got a function; wrap it/,
      ),
    ],
  ],
  [
    'a handler that was not declared',
    { database, handlers: [{ type: 'x', run() {} }] },
    [expect.stringMatching(/^handlers\[0\]: handler "x": payload must be a Standard Schema/)],
  ],
  [
    'a wrong rule of retention',
    { database, retention: { deed: { ms: 1 }, dead: { ms: 'x' } } },
    [
      "retention.deed: 'deed' is not a state in which jobs have ended; did you mean dead?",
      "retention.dead.ms is 'x'; it must be a whole number from 0 to 3155760000000",
    ],
  ],
  ['no log', { database, log: true }, ['log is true; it must be a logger such as pino']],
  [
    'what is no function',
    { database, onFatal: 1, clock: {} },
    ['clock is {}; it must be a Clock', 'onFatal is 1; it must be a function'],
  ],
])('%s is refused with a sentence', async (_, options, problems) => {
  const refused = createJobSystem(options as JobSystemOptions)

  await expect(refused).rejects.toBeInstanceOf(ConfigError)
  await expect(refused).rejects.toMatchObject({ problems })
})

test('all faults are reported at once', async () => {
  const wrong = { worker: 1, workers: 0, handlers: [null], random: 0.5 }

  await expect(createJobSystem(wrong as never)).rejects.toMatchObject({
    problems: [
      'worker is not an option of createJobSystem; did you mean workers?',
      expect.stringMatching(/^database is undefined/),
      expect.stringMatching(/^handlers\[0\]: /),
      'random is 0.5; it must be a function',
      'workers is 0; it must be a whole number from 1 to 1000',
    ],
  })
})
