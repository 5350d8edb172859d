import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { builtinHandlers } from '../../src/handlers/builtin.ts'
import { apiRoutes } from '../../src/http/routes/api.ts'
import { startHttp, type TestServer } from '../support/server.ts'
import { cleanUp } from '../support/temp.ts'

const apiToken = 'a-token-of-enough-length'
const builtin = builtinHandlers({ smtp: {}, webhook: { allowPrivate: false }, retryMaxMs: 1, now: () => 0 })
const all = (html: string, pattern: RegExp) => [...html.matchAll(pattern)].map((match) => match[1]!)
const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', '#39': "'", amp: '&' }
const textOf = (html: string) =>
  html.replace(/<[^>]+>/g, '').replace(/&(lt|gt|quot|#39|amp);/g, (_, name: string) => entities[name]!)
const commandsOf = (html: string) =>
  all(html, /<pre>(.*?)<\/pre>/gs)
    .map(textOf)
    .filter((text) => text.startsWith('curl '))

describe('the page', () => {
  let html: string
  let server: TestServer
  beforeAll(async () => {
    server = await startHttp({ handlers: builtin, started: false })
    html = (await server.get('/docs')).body
  })
  afterAll(cleanUp)

  test('has every operation, type, schema and error, each with its own address', async () => {
    const ids = all(html, / id="([^"]+)"/g)
    const { body: document } = await server.get('/openapi.json')

    expect(new Set(ids).size).toBe(ids.length)
    expect(ids).toEqual(
      expect.arrayContaining([
        ...apiRoutes.map(({ id }) => id),
        ...['email', 'webhook', 'sleep'].map((type) => `type-${type}`),
        ...Object.keys(document.components.schemas).map((name) => `schema-${name}`),
        ...document.components.schemas.Problem.properties.code.enum.map((code: string) => `error-${code}`),
      ]),
    )
  })

  test('has no broken links', () => {
    const targets = all(html, / href="#([^"]*)"/g).map(decodeURIComponent)
    const ids = new Set(all(html, / id="([^"]+)"/g))

    expect(targets.length).toBeGreaterThan(50)
    expect(targets.filter((target) => !ids.has(target))).toEqual([])
  })

  test('has headings in order, and a header for every column and row', () => {
    const levels = all(html, /<h([1-6])/g).map(Number)

    expect(levels[0]).toBe(1)
    expect(levels.filter((level, index) => index > 0 && level > levels[index - 1]! + 1)).toEqual([])
    expect(levels.filter((level) => level === 1)).toHaveLength(1)
    expect(all(html, /<th( [^>]*)?>/g).filter((attributes) => !/ scope="(row|col)"/.test(attributes))).toEqual([])
    expect(all(html, /<tr[^>]*><td/g)).toEqual([])
  })

  test('says what fields accept, their defaults and whether they are required', () => {
    const rows = all(html, /<tr[^>]*>(.*?)<\/tr>/gs).map(textOf)

    expect(rows).toContainEqual(
      expect.stringMatching(/^priority *whole number, −100 to 100 *default 0 *Higher runs first/),
    )
    expect(rows).toContainEqual(
      expect.stringMatching(/^max_retries *whole number, 0 to 1,000 *Retries after the first attempt/),
    )
    expect(rows).toContainEqual(expect.stringMatching(/^payload *required *any JSON/))
    expect(rows).toContainEqual(expect.stringMatching(/^limit *whole number, 1 to 500 *default 50/))
    expect(rows).toContainEqual(expect.stringMatching(/^run_at *instant.*Such as "2030-01-31T09:30:00Z"/))
    expect(rows).toContainEqual(expect.stringMatching(/^method *GET, HEAD, POST, PUT, PATCH, DELETE *default "POST"/))
    expect(rows).toContainEqual(expect.stringMatching(/^error *optional *JobError/))
  })

  test('loads only our files, and has no inline style or script', async () => {
    expect(html).not.toMatch(/<script(?![^>]*src="\/assets\/)|<style|style="|(src|href)="(?!\/|#)/)
    for (const path of all(html, /(?:src|href)="(\/assets\/[^"]+)"/g)) {
      expect([path, (await server.get(path)).status]).toEqual([path, 200])
    }
  })
})

test.each([{}, { API_TOKEN: apiToken }])('a server with %j accepts every command on the page', async (env) => {
  const token = 'API_TOKEN' in env ? { apiToken } : {}
  const { url } = await startHttp({ handlers: builtin, ...token })
  const page = await fetch(`${url}/docs`, { headers: { authorization: `Bearer ${apiToken}` } })
  const commands = commandsOf(await page.text())

  const statuses: [string, string][] = []
  for (const command of commands) statuses.push([command, await statusOf(command, env)])

  const expected = apiRoutes.map(({ examples }) => examples[0])
  expect(statuses).toEqual(expected.map(({ status }, index) => [commands[index], `${status}`]))
})

/** The first line of the answer to a curl, which is then ended, because a stream does not end by itself. */
async function statusOf(command: string, env: Record<string, string>): Promise<string> {
  const asked = command.replace(/^curl/, 'exec curl -s -N -i')
  const curl = spawn('sh', ['-c', asked], {
    env: { PATH: process.env.PATH, TOKEN: env.API_TOKEN },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface({ input: curl.stdout }), 'line')) as [string]
  curl.kill()
  return line.split(' ')[1]!
}

test('its commands use the address that the reader used', async () => {
  const server = await startHttp({ started: false })
  const first = await server.get('/docs')

  const second = await server.fetch('/docs', { headers: { 'x-forwarded-proto': 'https' } })

  expect(commandsOf(first.body)[0]).toContain(`http://127.0.0.1:${server.port}/createJob`)
  expect(commandsOf(second.body)[0]).toContain(`https://127.0.0.1:${server.port}/createJob`)
})

test('a user’s field and description are shown as text, and nothing else', async () => {
  const type = 'a.b:c-d_1'
  const payload = z.strictObject({
    '<script>alert(1)</script><b>bold</b>': z
      .string()
      .default('</code><i>')
      .describe('<img src=x onerror=alert(1)> `<u>`\u202e'),
  })
  const server = await startHttp({ handlers: [{ type, payload, run() {} }], started: false })

  const { status, body } = await server.get('/docs')
  const { body: document } = await server.get('/openapi.json')

  expect(status).toBe(200)
  expect(body).not.toMatch(/<script>|<b>|<img src=x|<i>|<u>|\u202e/)
  expect(textOf(body)).toContain(type)
  expect(textOf(body)).toContain('<script>alert(1)</script><b>bold</b>')
  expect(textOf(body)).toContain('<img src=x onerror=alert(1)> <u>⟨U+202E⟩')
  expect(document.components.schemas.NewJob.oneOf[0].title).toBe(type)
})
