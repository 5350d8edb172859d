import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHttp, type HttpOptions, type Role } from '../../src/http/index.ts'
import type { Route } from '../../src/http/routes/route.ts'
import type { JobSystem } from '../../src/index.ts'
import { routes } from '../support/routes.ts'
import { testHandlers } from '../support/server.ts'
import { openSystem, startSystem, untilState } from '../support/system.ts'
import { cleanUp, whenDone } from '../support/temp.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
const form = { 'content-type': 'application/x-www-form-urlencoded' }
const json = { 'content-type': 'application/json' }

let system: JobSystem
let path: string
let waiting: number
let dead: number
beforeAll(async () => {
  ;({ system, path } = await startSystem({ handlers: testHandlers }))
  ;({ id: waiting } = await system.enqueue({ type: 'echo', payload: { password: 'x1', n: 1 }, delayMs: 3_600_000 }))
  ;({ id: dead } = await system.enqueue({ type: 'broken', payload: null, maxRetries: 0 }))
  await untilState(system, dead, 'dead')
})
afterAll(cleanUp)

function anHttp(options: HttpOptions = {}, of = system) {
  const http = createHttp(of, options)
  whenDone(() => http.close())
  return (path: string, init: RequestInit = {}) => http.fetch(new Request(`https://app.example${path}`, init))
}

const isRead = (route: Route) => route.method === 'GET' && !route.isOpen
const changing = routes.flatMap((route) => ('role' in route ? [route] : []))
const aPath = (route: Route) => route.path.replace(':id', `${waiting}`).replace(':bulk', 'none')
const reading = routes.filter((route) => isRead(route) && route.path !== '/events')

const send = (fetch: ReturnType<typeof anHttp>, route: Route, headers: Record<string, string> = {}) => {
  const takes = 'takes' in route ? route.takes : 'nothing'
  const body = route.method === 'GET' ? {} : { body: takes === 'json' ? '{}' : '' }
  const type = takes === 'json' ? json : takes === 'form' ? form : {}
  return fetch(aPath(route), { method: route.method, headers: { ...type, ...headers }, ...body })
}

test('every route that changes something says which role may use it, and no other does', () => {
  const posts = routes.filter(({ method, isOpen }) => method !== 'GET' && !isOpen)

  expect(changing).toEqual(posts)
  expect(changing.length).toBeGreaterThanOrEqual(10)
  expect(routes.filter(({ isOpen }) => isOpen).map(({ path }) => path)).toEqual([
    '/livez',
    '/readyz',
    '/login',
    '/login',
    '/logout',
    '/assets/:name',
  ])
})

describe('read-only', () => {
  test('every changing route is refused for everyone, and nothing changes', async () => {
    const fetch = anHttp({ readOnly: true, authorize: () => ({ actor: 'ada', role: 'admin' }) })
    const before = await system.edgeCounts()

    for (const route of changing) {
      const { status } = await send(fetch, route)
      expect([route.path, status]).toEqual([route.path, 403])
    }

    expect(await system.edgeCounts()).toEqual(before)
  })

  test('every other route answers, and no page has a button that changes anything', async () => {
    const fetch = anHttp({ readOnly: true })

    for (const route of reading) {
      const answer = await send(fetch, route)
      expect([route.path, answer.status]).not.toEqual([route.path, 403])
      expect([route.path, await answer.text()]).toEqual([route.path, expect.not.stringMatching(/<form method="post"/)])
    }
    expect(await (await anHttp()(`/dashboard/jobs/${waiting}`)).text()).toContain('<form method="post"')
  })
})

describe('authorize', () => {
  const byHeader: HttpOptions = {
    authorize: ({ headers }) => {
      const role = headers.get('x-role') as Role | null
      return role && { actor: headers.get('x-actor') ?? 'ada', role }
    },
  }

  test.each([
    ['read', [] as string[]],
    ['operate', ['operate']],
    ['admin', ['operate', 'admin']],
  ])('lets the role %s read, and change what needs one of %j', async (role, allowed) => {
    const fetch = anHttp(byHeader)

    for (const route of changing) {
      const { status } = await send(fetch, { ...route, path: route.path.replace(':id', '999') }, { 'x-role': role })
      expect([route.path, status === 403]).toEqual([route.path, !allowed.includes(route.role)])
    }
    for (const route of reading) {
      const { status } = await send(fetch, route, { 'x-role': role })
      expect([route.path, status === 403]).toEqual([route.path, false])
    }
  })

  test('shows a role only the buttons that it may use', async () => {
    const fetch = anHttp(byHeader)
    const formsOf = async (path: string, role: string) => {
      const html = await (await fetch(path, { headers: { 'x-role': role } })).text()
      return [...html.matchAll(/<form method="post" action="([^"]*)"/g)].map(([, action]) => action)
    }

    expect(await formsOf(`/dashboard/jobs/${waiting}`, 'read')).toEqual([])
    expect(await formsOf(`/dashboard/jobs/${waiting}`, 'operate')).toEqual([`/dashboard/jobs/${waiting}/cancel`])
    expect(await formsOf('/dashboard/jobs', 'operate')).toEqual([])
    expect(await formsOf('/dashboard/jobs', 'admin')).toEqual(['/dashboard/bulk', '/dashboard/bulk'])
  })

  test.each([
    ['null', null],
    ['undefined', undefined],
    ['false', false],
  ])('shows nothing but the probes if it returns %s', async (_, access) => {
    const fetch = anHttp({ authorize: () => access as null })

    for (const route of [...reading, ...changing, { method: 'GET', path: '/nope' } as Route]) {
      const answer = await send(fetch, route)
      expect([route.path, answer.status]).toEqual([route.path, 403])
      expect(await answer.text()).not.toContain('echo')
    }
    expect((await fetch('/livez')).status).toBe(200)
  })

  test('lets nobody in if it throws or returns something else, and the log says so', async () => {
    const lines: string[] = []
    const log = { ...silent, error: (_: object, message: string) => void lines.push(message) }
    const wrong = [
      () => {
        throw new Error('no database')
      },
      () => ({ actor: 'ada', role: 'root' }),
      () => true,
      async () => ({ actor: '', role: 'read' }),
      () => ({ actor: 'x'.repeat(256), role: 'read' }),
      () => ({ actor: 'a\nb', role: 'read' }),
    ]

    for (const authorize of wrong) {
      const fetch = anHttp({ authorize: authorize as never, log })
      expect((await fetch('/jobs')).status).toBe(500)
      expect((await fetch(`/jobs/${waiting}/cancel`, { method: 'POST' })).status).toBe(500)
    }

    expect(lines).toHaveLength(2 * wrong.length)
    expect((await system.find(waiting))!.state).toBe('scheduled')
  })

  test('gets what the app’s middleware has put on the request', async () => {
    const http = createHttp(system, {
      async authorize(_, incoming) {
        const { user } = incoming as unknown as { user?: string }
        return user === undefined ? null : { actor: user, role: 'read' }
      },
    })
    const server = createServer((incoming, outgoing) => {
      if (incoming.headers.cookie === 'session=1') Object.assign(incoming, { user: 'ada' })
      void http.requestListener(incoming, outgoing)
    }).listen(0, '127.0.0.1')
    whenDone(() => server.close())
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jobs`

    expect((await fetch(url)).status).toBe(403)
    expect((await fetch(url, { headers: { cookie: 'session=1', connection: 'close' } })).status).toBe(200)
  })

  test('the history keeps who did what and why, and the job’s page shows it', async () => {
    const fetch = anHttp(byHeader)
    const as = (actor: string) => ({ 'x-role': 'admin', 'x-actor': actor })
    const body = JSON.stringify({ type: 'echo', payload: 1, delay_ms: 3_600_000 })
    const created = await fetch('/jobs', { method: 'POST', headers: { ...json, ...as('bob') }, body })
    const { id } = (await created.json()) as { id: number }

    await fetch(`/dashboard/jobs/${id}/cancel`, {
      method: 'POST',
      headers: { ...form, ...as('ada@example.com') },
      body: 'reason=wrong <customer>',
    })
    await fetch(`/jobs/${id}/requeue`, { method: 'POST', headers: as('carl') })

    const history = await system.history(id)
    expect(history.slice(0, 3).map(({ event, cause, actor, reason }) => [event, cause, actor, reason])).toEqual([
      ['enqueue', 'http', 'bob', undefined],
      ['cancel', 'dashboard', 'ada@example.com', 'wrong <customer>'],
      ['requeue', 'http', 'carl', undefined],
    ])
    const page = await (await fetch(`/dashboard/jobs/${id}`, { headers: as('ada') })).text()
    for (const text of ['bob', 'ada@example.com', 'wrong &lt;customer&gt;', 'carl']) expect(page).toContain(text)
  })

  test('the history names who confirmed a bulk action, not who counted its jobs', async () => {
    const fetch = anHttp(byHeader)
    const as = (actor: string) => ({ ...json, 'x-role': 'admin', 'x-actor': actor })
    const { id } = await system.enqueue({ type: 'echo', payload: 1, queue: 'confirmed', delayMs: 3_600_000 })
    const body = JSON.stringify({ command: 'cancel', queue: 'confirmed' })

    const prepared = await fetch('/bulk', { method: 'POST', headers: as('ada'), body })
    const bulk = system.findBulk(((await prepared.json()) as { id: string }).id)!
    await bulk.settled()
    await fetch(`/bulk/${bulk.id}/run`, { method: 'POST', headers: as('bob'), body: '{"matched":1}' })
    await bulk.settled()

    expect((await system.history(id)).at(-1)).toMatchObject({ event: 'cancel', actor: 'bob' })
  })
})

describe('redact', () => {
  const hidden: HttpOptions = { redact: ({ payload }) => (isObject(payload) ? { ...payload, password: '…' } : payload) }
  const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

  test('hides a payload from every answer and page, and commands answer without it', async () => {
    const fetch = anHttp(hidden)
    const { id } = await system.enqueue({ type: 'echo', payload: { password: 'x1' }, delayMs: 3_600_000 })
    const seen = [`/jobs/${id}`, '/jobs', `/dashboard/jobs/${id}`, '/dashboard/jobs', `/jobs/${id}/history`]

    for (const path of seen) expect(await (await fetch(path)).text()).not.toContain('x1')
    const cancelled = await (await fetch(`/jobs/${id}/cancel`, { method: 'POST' })).text()

    expect(JSON.parse(cancelled).payload).toEqual({ password: '…' })
    expect((await system.find(id))!.payload).toEqual({ password: 'x1' })
  })

  test('refuses a search for text, which would reveal it', async () => {
    const fetch = anHttp(hidden)
    const bulk = { method: 'POST', headers: json, body: '{"command":"cancel","text":"x1"}' }

    expect((await fetch('/jobs?text=x1')).status).toBe(400)
    expect((await fetch('/dashboard/jobs?text=x1')).status).toBe(400)
    expect((await fetch('/bulk', bulk)).status).toBe(400)
  })

  test('shows null if it returns nothing', async () => {
    const fetch = anHttp({ redact: () => undefined })

    expect(await (await fetch(`/jobs/${waiting}`)).json()).toMatchObject({ payload: null })
    expect((await fetch(`/dashboard/jobs/${waiting}`)).status).toBe(200)
  })

  test('shows nothing if it returns a promise', async () => {
    const fetch = anHttp({ redact: async () => 'x1' })

    expect((await fetch(`/jobs/${waiting}`)).status).toBe(500)
  })

  test('shows nothing if it throws', async () => {
    const fetch = anHttp({
      redact() {
        throw new Error('not an object')
      },
    })

    expect((await fetch(`/jobs/${waiting}`)).status).toBe(500)
    expect(await (await fetch(`/dashboard/jobs/${waiting}`)).text()).not.toContain('x1')
  })
})

describe('in a producer', () => {
  let producer: JobSystem
  beforeAll(async () => {
    ;({ system: producer } = await openSystem({ database: path, runs: null }))
    await producer.start()
  })
  /** The titles of a page's disabled buttons. */
  const disabledOn = (html: string) =>
    [...html.matchAll(/<button type="button" disabled=?"?"? aria-describedby="only-the-server">([^<]*)/g)].map(
      ([, label]) => label,
    )

  test('the pages show what is in the file, and say beside each button why it cannot be pressed', async () => {
    const fetch = anHttp({}, producer)

    const body = JSON.stringify({ type: 'echo', payload: 'from a producer', delay_ms: 3_600_000 })
    const created = await fetch('/jobs', { method: 'POST', headers: json, body })
    expect(created.status).toBe(201)
    for (const path of ['/', '/dashboard/jobs', created.headers.get('location')!.replace('/', '/dashboard/')]) {
      const page = await fetch(path)
      const html = await page.text()
      expect([path, page.status]).toEqual([path, 200])
      expect(html).not.toContain('<form method="post"')
      if (path === '/') continue
      expect(html).toContain('use the dashboard of the server')
      expect(disabledOn(html)).toEqual(path === '/dashboard/jobs' ? ['Cancel', 'Requeue'] : ['Cancel'])
    }
    expect(disabledOn(await (await fetch(`/dashboard/jobs/${dead}`)).text())).toEqual(['Cancel', 'Requeue'])
  })

  test('whoever may only read sees no button, disabled or not', async () => {
    const fetch = anHttp({ readOnly: true }, producer)

    for (const path of ['/dashboard/jobs', `/dashboard/jobs/${dead}`]) {
      expect(await (await fetch(path)).text()).not.toMatch(/disabled|<form method="post"/)
    }
  })

  test('every command is refused and says whose it is, and nothing changes', async () => {
    const fetch = anHttp({}, producer)
    const commands = changing.filter(({ path }) => path.includes(':id'))

    for (const route of commands) {
      const answer = await send(fetch, route)
      expect([route.path, answer.status]).toEqual([route.path, 501])
      expect(await answer.text()).toContain('server')
    }
    const bulk = await fetch('/bulk', { method: 'POST', headers: json, body: '{"command":"cancel"}' })

    expect([bulk.status, ((await bulk.json()) as { code: string }).code]).toEqual([501, 'not_a_server'])
    expect(commands).toHaveLength(6)
    expect([(await system.find(waiting))!.state, (await system.find(dead))!.state]).toEqual(['scheduled', 'dead'])
  })
})
