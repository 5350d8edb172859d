import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { PayloadError, UnknownTypeError } from '../../src/errors.ts'
import { defineHandler } from '../../src/handlers/define.ts'
import { Registry } from '../../src/handlers/registry.ts'
import { Rejection } from '../../src/job/rejection.ts'

const run = () => {}
const work = defineHandler({ type: 'work', payload: z.object({ n: z.number() }), run })
const other = defineHandler({ type: 'other', payload: z.unknown(), run })

describe('a registry', () => {
  const registry = new Registry([work, other])

  test('finds a handler by its type', () => {
    expect(registry.find('work')).toBe(work)
    expect(registry.find('nobody')).toBeUndefined()
  })

  test('knows its types in the order of their declaration', () => {
    expect(registry.types).toEqual(['work', 'other'])
  })

  test('finds nothing under the names that every object has', () => {
    for (const type of ['__proto__', 'constructor', 'toString']) expect(registry.find(type)).toBeUndefined()
  })

  test('accepts no two handlers of one type', () => {
    expect(() => new Registry([work, other, { ...work }])).toThrow(/two handlers are defined for type "work"/)
    expect(() => new Registry([work, work])).toThrow(/two handlers are defined for type "work"/)
  })

  test('may be empty', () => {
    expect(new Registry([]).types).toEqual([])
  })
})

describe('a job about to be stored', () => {
  const registry = new Registry([work, other])
  const errorOf = (checked: unknown) => {
    if (checked instanceof Rejection) return checked.toError()
    throw new Error('it was taken')
  }

  test('gets its handler', () => {
    expect(registry.check('work', { n: 1 }, '')).toBe(work)
  })

  test('of an unknown type is refused with the known types', () => {
    const error = errorOf(registry.check('nobody', {}, ''))

    expect(error).toBeInstanceOf(UnknownTypeError)
    expect(error.issues).toEqual([{ path: 'type', message: 'no handler for type "nobody"; known types: work, other' }])
    expect(errorOf(new Registry([]).check('x', {}, '')).message).toMatch(/no types are known here/)
  })

  test('is refused with its path in an array', () => {
    for (const [checked, path] of [
      [registry.check('nobody', {}, '3'), '3.type'],
      [registry.check('work', {}, '3'), '3.payload.n'],
    ] as const) {
      expect(checked).toMatchObject({ issues: [{ path }] })
      expect(errorOf(checked).issues).toEqual((checked as Rejection).issues)
    }
  })

  test('is refused if its schema throws, and the thrown error is kept as the cause', () => {
    const throwing = {
      ...other,
      payload: {
        '~standard': {
          version: 1 as const,
          vendor: 'own',
          validate: () => {
            throw new Error('from within')
          },
        },
      },
    }

    const error = errorOf(new Registry([throwing]).check('other', {}, ''))

    expect(error).toBeInstanceOf(PayloadError)
    expect(error.cause).toEqual(new Error('from within'))
    expect(error.message).not.toMatch(/from within/)
  })
})
