import { describe, expect, test } from 'vitest'
import { replaceCode } from './support/replace-code.ts'
import { replaceSql } from './support/replace-sql.ts'

const code = `
import { min } from './numbers.js'
export class Line {
  #waiting = []; // in order
  take(limit) {
    const jobs = this.#waiting.splice(0, min(limit, 10))
    if (jobs.length === 0)
      return null
    return { jobs, more: this.#waiting.length > 0 }
  }
  size() { return this.#waiting.length }
}`

describe('a piece of code is replaced', () => {
  test.each([
    ['an expression', 'min(limit,10)', 'limit', '.splice(0, limit)'],
    ['a statement', 'if (jobs.length === 0) return null;', '', '(limit, 10))\n    ;\n    return'],
    ['a statement in no block', 'return null', 'return []', '(jobs.length === 0)\n      return []'],
    ['a condition', 'if (jobs.length===0)', 'if (!jobs)', 'if (!jobs)\n      return null'],
    ['a member of a class', 'size() { return this.#waiting.length; }', 'size() {}', '  size() {}\n'],
    ['a member of an object', 'more: this.#waiting.length > 0', 'more: false', '{ jobs, more: false }'],
    ['a text in other quotes', `import { min } from "./numbers.js";`, '', '\n;\nexport'],
  ])('that is %s, whatever its format', (_, find, replace, expected) => {
    expect(replaceCode(code, find, replace)).toContain(expected)
  })

  test('whose variables have other names by now, by code with those names', () => {
    const find = `const taken = this.#waiting.splice(0, least(count, 10));`

    expect(replaceCode(code, find, 'const taken = [count, { count, taken: least.taken }];')).toContain(
      'const jobs = [limit, { count: limit, taken: min.taken }];',
    )
  })
})

describe('a piece of code is refused', () => {
  test.each([
    ['that is not there', 'this.#waiting.pop()', '0 times'],
    ['whose property has another name', 'this.#line.splice(0, min(limit, 10))', '0 times'],
    ['of which one variable is two by now', 'min(min, 10)', '0 times'],
    ['that is there twice', 'this.#waiting.length', '2 times'],
    ['that is none', 'splice(0,', 'not an expression'],
  ])('%s', (_, find, message) => {
    expect(() => replaceCode(code, find, '')).toThrow(message)
  })
})

describe('a piece of SQL is replaced', () => {
  const sql = `
const due = (max) => \`SELECT id FROM jobs
    WHERE \${isHeld('jobs')} AND run_at <= :now
    LIMIT \${max}\`
const all = 'SELECT id FROM jobs'`

  test.each([
    ['whatever its line breaks', 'jobs WHERE', 'jobs AS', `FROM jobs AS \${isHeld('jobs')}`],
    ['with what it computes', `\${isHeld("jobs")} AND run_at`, 'run_at', 'WHERE run_at <='],
    [
      'whose variables have other names by now',
      ':now LIMIT ${limit}',
      ':now AND id < ${limit}',
      'run_at <= :now AND id < ${max}`',
    ],
  ])('%s', (_, find, replace, expected) => {
    expect(replaceSql(sql, find, replace)).toContain(expected)
  })

  test('only if it is there once', () => {
    expect(() => replaceSql(sql, 'SELECT id FROM jobs', '')).toThrow('2 times')
    expect(() => replaceSql(sql, '${isLate(jobs)} AND', '')).toThrow('0 times')
  })
})
