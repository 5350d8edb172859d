import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { briefly } from '../../support/built.ts'
import { shareOf } from '../../support/share.ts'
import { until } from '../../support/system.ts'
import { cleanUp, tempFolder, whenDone } from '../../support/temp.ts'

const root = resolve(import.meta.dirname, '../../..')
const at = '/admin/jobs'
const form = { 'content-type': 'application/x-www-form-urlencoded' }

const frameworks = shareOf({ share: ['express'], whole: ['hono', 'express', 'fastify', 'koa'] })
let urls: ReadonlyMap<string, string>

/** Starts these examples of examples/web/ in one process, each on a free port with its own file: starting one takes longer than its tests. */
async function startExamples(folder: string): Promise<Map<string, string>> {
  const script = `
    const { log } = console
    for (const name of ${JSON.stringify(frameworks)}) {
      const listens = new Promise((done) => {
        console.log = (line) => done(log(name, line))
      })
      process.argv[2] = ${JSON.stringify(folder)} + '/' + name + '.db'
      await import(${JSON.stringify(`${pathToFileURL(root)}/examples/web/`)} + name + '.js')
      await listens
    }`
  const child: ChildProcess = spawn(process.execPath, [...briefly, '--input-type=module', '--eval', script, '--', ''], {
    cwd: root,
    env: { PATH: process.env.PATH ?? '', PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  whenDone(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  const listening = new Map<string, string>()
  for await (const line of createInterface({ input: child.stdout! })) {
    const [, name, port] = /^(\w+) listening on (\d+)$/.exec(line) ?? []
    if (name) listening.set(name, `http://127.0.0.1:${port}`)
    if (listening.size < frameworks.length) continue
    child.stdout!.resume()
    return listening
  }
  throw new Error(`it ended with ${child.exitCode} when ${[...listening.keys()]} listened`)
}

beforeAll(async () => {
  urls = await startExamples(tempFolder())
})
afterAll(cleanUp)

test('docs/embedding.md shows the code of the examples', () => {
  const page = readFileSync(join(root, 'docs/embedding.md'), 'utf8')
  const blocks = [...page.matchAll(/^```js\n\/\/ (examples\S+)\n(.*?)^```$/gms)]

  for (const [, path, code] of blocks) expect(readFileSync(join(root, path!), 'utf8')).toContain(code)
  expect(blocks.length).toBeGreaterThanOrEqual(7)
})

describe.each(frameworks)('mounted in a %s app', (name) => {
  let url: string
  let id: number
  const post = (path: string, body: string, headers: Record<string, string>) =>
    fetch(`${url}${at}${path}`, { method: 'POST', body, headers, redirect: 'manual' })
  const create = (job: object) => post('/jobs', JSON.stringify(job), { 'content-type': 'application/json' })

  beforeAll(async () => {
    url = urls.get(name)!
    const created = await create({ type: 'welcome', payload: { name: 'Ada' }, delay_ms: 3_600_000 })
    expect([created.status, created.headers.get('location')]).toEqual([201, `${at}/jobs/1`])
    id = ((await created.json()) as { id: number }).id
  })

  test('the app keeps its own paths', async () => {
    expect(await (await fetch(url)).text()).toBe('the app itself')
    expect((await fetch(`${url}/jobs`)).headers.get('content-type') ?? '').not.toContain('problem')
  })

  test('it is there with and without a slash, and every link, form and asset of every page is under it', async () => {
    const links = new Set<string>()
    for (const path of ['', '/', '/dashboard/jobs', `/dashboard/jobs/${id}`, '/docs', '/nope']) {
      const page = await fetch(`${url}${at}${path}`)
      expect([path, page.status]).toEqual([path, path === '/nope' ? 404 : 200])
      const html = await page.text()
      for (const [, link] of html.matchAll(/ (?:href|src|action)="([^"#][^"]*)"/g)) links.add(link!)
    }

    expect(links.size).toBeGreaterThan(15)
    for (const link of links) {
      expect(link).toMatch(new RegExp(`^${at}/`))
      const { status } = await fetch(url + link.replaceAll('&amp;', '&'), { redirect: 'manual' })
      // The routes that forms post to allow nothing else.
      expect([link, [200, 303, 405].includes(status)]).toEqual([link, true])
    }
  })

  test('a refused body is refused as by a separate server', async () => {
    const broken = await post('/jobs', '{', { 'content-type': 'application/json' })
    const wrong = await create({ type: 'welcome', payload: { name: 1 } })
    const large = await post('/jobs', JSON.stringify('x'.repeat(9_000_000)), { 'content-type': 'application/json' })

    expect([broken.status, await broken.json()]).toEqual([400, expect.objectContaining({ code: 'invalid_json' })])
    expect([wrong.status, await wrong.json()]).toEqual([400, expect.objectContaining({ code: 'invalid_payload' })])
    expect(large.status).toBe(413)
  })

  test('its buttons work and redirect under it, and a page of another site cannot use them', async () => {
    const foreign = await post(`/dashboard/jobs/${id}/cancel`, '', { ...form, origin: 'http://elsewhere.example' })
    const ours = await post(`/dashboard/jobs/${id}/cancel`, '', { ...form, origin: url })

    expect(foreign.status).toBe(403)
    expect([ours.status, ours.headers.get('location')]).toEqual([303, `${at}/dashboard/jobs/${id}`])
  })

  test('transitions are streamed as they happen, until the client leaves', async () => {
    const left = new AbortController()
    const stream = await fetch(`${url}${at}/events`, { signal: left.signal })
    expect(stream.headers.get('content-type')).toContain('text/event-stream')
    let text = ''
    const read = (async () => {
      for await (const chunk of stream.body!) text += Buffer.from(chunk)
    })().catch(() => undefined)

    await until(() => text.includes('id: '))
    await create({ type: 'welcome', payload: { name: 'Grace' } })
    await until(() => text.includes('"to":"succeeded"'))
    left.abort()
    await read

    expect((await fetch(`${url}${at}/livez`)).status).toBe(200)
  })

  test('HEAD has no body, and an unknown path is answered with a problem document', async () => {
    const head = await fetch(`${url}${at}/jobs/${id}`, { method: 'HEAD' })
    const wrongMethod = await fetch(`${url}${at}/jobs`, { method: 'DELETE' })

    expect([head.status, await head.text()]).toEqual([200, ''])
    expect([wrongMethod.status, wrongMethod.headers.get('allow')]).toEqual([405, 'GET, HEAD, POST'])
  })
})
