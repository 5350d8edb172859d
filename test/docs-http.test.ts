import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { builtinHandlers } from '../src/handlers/builtin.ts'
import { type ApiErrorCode, apiErrorCodes, apiErrors } from '../src/http/api-errors.ts'
import type { SchemaObject } from '../src/http/openapi/json-schema.ts'
import { apiRoutes } from '../src/http/routes/api.ts'
import { components, newJob } from '../src/http/wire.ts'

const page = readFileSync(resolve(import.meta.dirname, '../docs/http.md'), 'utf8')
const lines = page.split('\n')
const rows = lines
  .filter((line, index) => /^\| (?!---)/.test(line) && !lines[index + 1]?.startsWith('| ---'))
  .map((line) => line.slice(2, -2).split(' | '))
const section = (title: string) => page.split(`\n## ${title}\n`)[1]!.split('\n## ')[0]!
const rowsOf = (title: string) => rows.filter((cells) => section(title).includes(`| ${cells.join(' | ')} |`))
const namesIn = (text: string) => [...text.matchAll(/`(\w+)`/g)].map(([, name]) => name!)

const jsonOf = (schema: z.ZodType) => z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SchemaObject
const number = (value: number) => value.toLocaleString('en').replace('-', '−')
/** `1 to 500`, as a schema has it of a number, or of the length of a text; undefined if it has none. */
const boundsOf = ({ minimum, maximum, pattern = '' }: SchemaObject): string | undefined => {
  const [, shortest, longest] = /^\^(?:\[[^\]]+\]|\\P\{C\})\{(\d+),(\d+)\}\$$/.exec(pattern) ?? []
  const [from, to] = [Number(shortest ?? minimum), Number(longest ?? maximum)]
  return Number.isNaN(from) || to === Number.MAX_SAFE_INTEGER ? undefined : `${number(from)} to ${number(to)}`
}

/** Every route that the page names, with the query that follows it. */
const named = [...page.matchAll(/`(GET|POST|PUT|PATCH|DELETE) (\/[^`?\s]*)(?:\?([^`]*))?`/g)].map(
  ([, method, path, query]) => {
    return { route: `${method} ${path}`, query }
  },
)

describe('the page of HTTP', () => {
  test('names every route of the API, and no others except the pages', () => {
    const pages = ['GET /', 'GET /docs']
    const routes = apiRoutes.map(({ method, path }) => `${method} ${path}`)

    expect([...new Set(named.map(({ route }) => route))].sort()).toEqual([...routes, ...pages].sort())
  })

  test.each(
    apiRoutes.flatMap(({ method, path, query }) => {
      const names = Object.keys(query?.shape ?? {})
      return names.length === 0 ? [] : [[`${method} ${path}`, names] as const]
    }),
  )('names the parameters of %s', (route, parameters) => {
    const queries = named.filter((each) => each.route === route && each.query !== undefined)

    expect(queries.length).toBeGreaterThan(0)
    for (const { query } of queries) expect(query!.split('&').map((part) => part.split('=')[0])).toEqual(parameters)
  })

  test.each(
    apiRoutes.flatMap(({ method, path, query }) => {
      const row = rows.find(([first]) => first!.startsWith(`\`${method} ${path}?`))
      if (!row || !query) return []
      return Object.entries(jsonOf(query).properties ?? {}).flatMap(([name, schema]) => {
        const bounds = boundsOf(schema)
        return bounds && ['limit', 'text'].includes(name)
          ? [[`${method} ${path}`, name, bounds, schema, row] as const]
          : []
      })
    }),
  )('says that the %s field %s may be: %s', (_route, name, bounds, schema, row) => {
    const byDefault = schema.default === undefined ? '' : ` (${number(schema.default as number)})`
    const said = row.at(-1)!.split(`\`${name}\``)[1]!

    expect(said.slice(0, 40)).toContain(`${bounds}${byDefault}`)
  })

  test('has the fields of a job to create, and no others', () => {
    const fields = rowsOf('A job to create').flatMap(([first]) => namesIn(first!))

    expect(fields.sort()).toEqual(Object.keys(jsonOf(newJob).properties!).sort())
  })

  test.each(Object.entries(jsonOf(newJob).properties!))('says what the field %s may be', (name, schema) => {
    const [, takes, byDefault] = rowsOf('A job to create').find(([first]) => first === `\`${name}\``)!

    const bounds = boundsOf(schema)
    if (bounds !== undefined) expect(takes).toContain(bounds)
    const isRequired = jsonOf(newJob).required!.includes(name)
    const unset = schema.default
    const expected = unset === undefined ? undefined : typeof unset === 'number' ? number(unset) : `\`${unset}\``
    expect([isRequired, byDefault]).toEqual([byDefault === 'required', expected ?? byDefault])
  })

  test.each(
    apiRoutes.flatMap(({ method, path, answers }) => {
      const row = rows.find(([first]) => new RegExp(`^\`${method} ${path}[?\`]`).test(first!))
      const { body } = answers[200] ?? {}
      return row?.at(-1)?.includes('{') && body ? [[`${method} ${path}`, jsonOf(body), row.at(-1)!] as const] : []
    }),
  )('names every member of the answer to %s, and no others', (_route, { properties = {} }, row) => {
    const inBraces = [...row.matchAll(/\{[^`]*\}/g)].map(([text]) => text)
    const words = inBraces.flatMap((text) => text.match(/\w+/g) ?? [])
    const known = new Set<string>(['SEQ'])
    const collect = (schema: SchemaObject) => {
      for (const [name, member] of Object.entries(schema.properties ?? {})) {
        known.add(name)
        collect(member)
      }
      for (const part of [schema.items, ...(schema.anyOf ?? []), ...(schema.oneOf ?? [])]) if (part) collect(part)
    }
    const { schemas } = z.toJSONSchema(components, { io: 'input' })
    for (const schema of Object.values(schemas)) collect(schema as SchemaObject)

    expect(Object.keys(properties).filter((name) => !words.includes(name))).toEqual([])
    expect(words.filter((word) => !known.has(word))).toEqual([])
  })

  test('names every metric, and every status of bulk actions', () => {
    const { body } = apiRoutes.find(({ path }) => path === '/metrics')!.answers[200]!
    const bulk = apiRoutes.find(({ path }) => path === '/bulk/:bulk')!.answers[200]!.body!

    expect(namesIn(section('State of the server'))).toEqual(
      expect.arrayContaining(Object.keys(jsonOf(body!).properties!)),
    )
    const phases = jsonOf(bulk).properties!.phase!.enum as string[]
    const row = rowsOf('Many jobs at once').find(([first]) => first === '`GET /bulk/:bulk`')!
    expect(namesIn(row.at(-1)!.split('`phase`')[1]!)).toEqual(phases)
  })

  test('has every error code once, beside its status', () => {
    const told = rowsOf('Errors').flatMap(([statuses = '', codes = '']) =>
      namesIn(codes).map((code) => [code, statuses.split(', ').map(Number)] as const),
    )

    expect(told.map(([code]) => code).sort()).toEqual([...apiErrorCodes].sort())
    const wrong = told.filter(([code, statuses]) => !statuses.includes(apiErrors[code as ApiErrorCode].status))
    expect(wrong).toEqual([])
    const idle = rowsOf('Errors').flatMap(([statuses = '', codes = '']) => {
      const own = namesIn(codes).map((code) => apiErrors[code as ApiErrorCode].status as number)
      return statuses.split(', ').filter((status) => Number(status) && !own.includes(Number(status)))
    })
    expect(idle).toEqual([])
  })

  test('has every built-in handler, with the members of its payload', () => {
    const handlers = builtinHandlers({ smtp: {}, webhook: { allowPrivate: false }, retryMaxMs: 1, now: () => 0 })
    const told = rowsOf('Built-in handlers')

    expect(told.map(([type]) => type)).toEqual(handlers.map(({ type }) => `\`${type}\``))
    for (const [index, { payload }] of handlers.entries()) {
      const [, members = '', words = ''] = told[index]!
      const quoted = [...members.matchAll(/"(\w+)"/g)].map(([, name]) => name!)
      const names = Object.keys(jsonOf(payload as unknown as z.ZodType).properties!)
      expect(names).toEqual(expect.arrayContaining(quoted))
      expect([...quoted, ...namesIn(words)]).toEqual(expect.arrayContaining(names))
    }
  })
})
