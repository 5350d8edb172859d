import { expect, test } from 'vitest'
import { z } from 'zod'
import type { Handler } from '../../src/handlers/define.ts'
import { Registry } from '../../src/handlers/registry.ts'

const schemaOf = (payload: Handler['payload']) =>
  new Registry([{ type: 'work', payload, run() {} }]).payloadSchemas.work

test('a payload is described as the caller passes it, not as its handler gets it', () => {
  const payload = z.strictObject({ at: z.string().transform(Number), n: z.int().min(1).default(2) })

  expect(schemaOf(payload)).toMatchObject({
    properties: { at: { type: 'string' }, n: { type: 'integer', minimum: 1, default: 2 } },
    required: ['at'],
    additionalProperties: false,
  })
})

test('a part of a payload that JSON Schema cannot describe may be anything', () => {
  expect(schemaOf(z.strictObject({ n: z.bigint() }))).toMatchObject({ properties: { n: {} }, required: ['n'] })
})

test.each([
  ['says nothing of it', {}],
  [
    'cannot say it',
    {
      jsonSchema: {
        input() {
          throw new Error('not supported')
        },
        output: () => ({}),
      },
    },
  ],
])('a payload may be any JSON if its library %s', (_, more) => {
  const validate = (value: unknown) => ({ value })

  expect(schemaOf({ '~standard': { version: 1, vendor: 'own', validate, ...more } })).toEqual({})
})
