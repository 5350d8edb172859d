import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { accessibilityFaults, describeInBrowser, openPage } from '../support/browser.ts'
import { deferred } from '../support/deferred.ts'
import { startHttp, type TestServer, type TestServerOptions, testHandlers } from '../support/server.ts'
import { isWhole } from '../support/share.ts'
import { aHandler } from '../support/system.ts'
import { whenDone } from '../support/temp.ts'

const apiToken = 'a-token-of-enough-length'
const hostile = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(2)>',
  "javascript:alert('3')",
  '\u001b[31mred\u001b[0m',
  '\u202Eright to left\u2066',
  '</pre></bdi><svg onload=alert(4)>',
  '&lt;b&gt; \u0000 \u200b',
].join(' ')
const hostileSeen = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(2)>',
  "javascript:alert('3')",
  '␛[31mred␛[0m',
  '⟨U+202E⟩right to left⟨U+2066⟩',
  '</pre></bdi><svg onload=alert(4)>',
  '&lt;b&gt; ␀ ⟨U+200B⟩',
]

/** A server with two handlers: one waits for the test, and then fails if told to; the other fails with its payload as the message until it is corrected. */
async function startDashboard(options: TestServerOptions = {}) {
  const gate = deferred()
  let isMended = false
  const waiting = aHandler('waiting', async (message: string | null) => {
    await gate.promise
    if (message) throw new Error(message)
  })
  const failing = aHandler('failing', (message: string) => {
    if (!isMended) throw new Error(message)
  })
  const server = await startHttp({
    handlers: [...testHandlers, waiting, failing],
    workers: 2,
    retryBaseMs: 1,
    retryMaxMs: 1,
    ...options,
  })
  const mend = () => {
    isMended = true
  }
  return { ...server, letGo: () => gate.resolve(), mend }
}

/** A job that has failed twice and is dead. */
async function deadJob(server: TestServer, message = 'out of luck', more: object = {}): Promise<number> {
  const { body } = await server.post('/jobs', { type: 'failing', payload: message, max_retries: 1, ...more })
  await server.untilState(body.id, 'dead')
  return body.id
}

const textOf = (page: Page, selector: string) => page.locator(selector).textContent()
/** Numbers on the page change by themselves: resolves when it shows this one. */
const untilText = (page: Page, selector: string, text: string | RegExp) =>
  expect.poll(() => textOf(page, selector)).toEqual(expect.stringMatching(text))
const classOf = (page: Page, selector: string) => page.locator(selector).getAttribute('class')

// If `npm test` omits one, another here clicks, updates or shows in the same way.
describeInBrowser('in a browser', () => {
  describe('the overview', () => {
    test('updates the counts on its charts while jobs run, and plots them over time', async () => {
      const { url, post, letGo } = await startDashboard()
      const page = await openPage(url)
      await untilText(page, '#count-running', '0')

      await post(
        '/jobs',
        Array.from({ length: 5 }, () => ({ type: 'waiting', payload: null })),
      )

      await untilText(page, '#count-running', '2')
      await untilText(page, '#tile-queued', '3')
      await untilText(page, '#worker-count-running', '2')
      letGo()
      await untilText(page, '#count-succeeded', '5')
      await untilText(page, '#taken-running-succeed-succeeded', '5')
      await untilText(page, '#worker-count-running', '0')
      await untilText(page, '#series-enqueued_per_s', /Enqueued\d/)
      expect(await page.locator('.series canvas').count()).toBe(4)
    })

    test.runIf(isWhole)('lists what each worker does, with a link to the job', async () => {
      const { url, post, letGo } = await startDashboard()
      await post('/jobs', { type: 'waiting', payload: null })
      const page = await openPage(url)

      await page.getByRole('link', { name: '1', exact: true }).click()
      letGo()

      await untilText(page, 'h1', 'Job 1')
      await untilText(page, 'h1 + .state', 'succeeded')
    })

    test('says when the server does not answer, and continues when it does', async () => {
      const { url } = await startDashboard()
      const page = await openPage(url, { complaintsOk: /Failed to load resource/ })
      const banner = page.locator('#connection')

      await page.route(`${url}/`, (route) => route.fulfill({ status: 503, body: 'no' }))
      await expect.poll(() => banner.isVisible()).toBe(true)
      await page.unroute(`${url}/`)

      await expect.poll(() => banner.isVisible()).toBe(false)
    })
  })

  describe("a job's page", () => {
    test('moves the bar of its progress and adds what it logs, without a reload', async () => {
      const steps = Array.from({ length: 3 }, () => deferred())
      const stepping = aHandler('stepping', async (_: unknown, { progress, log }) => {
        for (const [index, { promise }] of steps.entries()) {
          progress({ done: index, total: steps.length })
          log.info({ index }, `step ${index}`)
          await promise
        }
        progress(100)
      })
      const { url, post } = await startDashboard({ handlers: [stepping] })
      const { body } = await post('/jobs', { type: 'stepping', payload: null })
      const page = await openPage(`${url}/dashboard/jobs/${body.id}`)
      const position = () => page.evaluate(`document.querySelector('#progress progress')?.position`)
      await expect.poll(position).toBe(0)
      await page.evaluate('window.isSame = true')

      steps[0]!.resolve()
      await expect.poll(position).toBeCloseTo(1 / 3)
      await untilText(page, '#line-2', /step 1/)
      for (const { resolve } of steps) resolve()
      await expect.poll(position).toBe(1)

      await untilText(page, 'h1 + .state', 'succeeded')
      expect(await page.locator('.log li').count()).toBe(3)
      expect(await page.evaluate('window.isSame')).toBe(true)
    })

    test.runIf(isWhole)('shows what its handler returned, once it has, as text and without a reload', async () => {
      const gate = deferred()
      const returning = aHandler('returning', () => gate.promise.then(() => ({ text: hostile, of: [1, 2] })))
      const { url, post, fetch } = await startDashboard({ handlers: [returning] })
      const { body } = await post('/jobs', { type: 'returning', payload: null })
      const page = await openPage(`${url}/dashboard/jobs/${body.id}`)
      await page.evaluate('window.isSame = true')
      expect(await page.getByRole('heading', { name: 'Result' }).count()).toBe(0)

      gate.resolve()
      await untilText(page, 'section:has(> h2:text-is("Result")) > pre', /"of": \[/)

      const shown = await textOf(page, 'section:has(> h2:text-is("Result")) > pre')
      expect(shown).toContain('<script>alert(1)</script>')
      expect(await page.locator('img[src=x], svg[onload], script:not([src])').count()).toBe(0)
      expect(await page.evaluate('window.isSame')).toBe(true)
      expect((await fetch(`/jobs/${body.id}/result`)).body.result).toEqual({ text: hostile, of: [1, 2] })
    })

    test.runIf(isWhole)('highlights the path of a job while it fails', async () => {
      const server = await startDashboard()
      const { body } = await server.post('/jobs', { type: 'waiting', payload: 'out of luck', max_retries: 1 })
      await server.untilState(body.id, 'running')
      const page = await openPage(`${server.url}/dashboard/jobs/${body.id}`)
      expect(await classOf(page, '#edge-running-fail-dead')).toContain('faded')
      expect(await classOf(page, '#state-running')).toContain('current')

      server.letGo()
      await untilText(page, 'h1 + .state', 'dead')

      expect(await classOf(page, '#edge-running-fail-dead')).toContain('taken last')
      expect(await classOf(page, '#edge-running-fail-retrying')).toContain('taken')
      expect(await classOf(page, '#state-dead')).toContain('current')
      expect(await textOf(page, '#taken-queued-lease-leased')).toBe('2×')
    })

    test.runIf(isWhole)('explains a dead job, with the error of each attempt', async () => {
      const server = await startDashboard()
      const id = await deadJob(server, 'the disk is on fire')
      const page = await openPage(`${server.url}/dashboard/jobs/${id}`)

      expect(await textOf(page, '#summary')).toMatch(
        /is dead: attempt 2 of 2 failed .* with Error: the disk is on fire/,
      )
      expect(await page.locator('.timeline .failure').allTextContents()).toEqual(
        Array(2).fill('Error: the disk is on fire'),
      )
    })

    test('has a button for exactly what the machine allows a person to do, and requeue brings the job back', async () => {
      const server = await startDashboard()
      const id = await deadJob(server)
      server.mend()
      const page = await openPage(`${server.url}/dashboard/jobs/${id}`)
      expect(await page.locator('.actions button').allTextContents()).toEqual(['Cancel', 'Requeue'])

      await page.getByRole('button', { name: 'Requeue' }).click()

      await untilText(page, 'h1 + .state', 'succeeded')
      expect(await page.locator('.actions button').count()).toBe(0)
      expect(await classOf(page, '#edge-dead-requeue-queued')).toContain('taken')
    })

    test('a form changes a job that waits, says what is wrong with what was typed, and the history shows what was changed', async () => {
      const server = await startDashboard()
      const delayed = { delay_ms: 3_600_000 }
      const { body } = await server.post('/jobs', { type: 'failing', payload: 'wrong', ...delayed })
      const page = await openPage(`${server.url}/dashboard/jobs/${body.id}`, { complaintsOk: /status of 400/ })

      await page.getByRole('link', { name: 'Edit…' }).click()
      await page.getByLabel('Payload').fill('right')
      await page.getByLabel('Priority').fill('7')
      await page.getByRole('button', { name: 'Save' }).click()
      await untilText(page, '[role=alert]', 'payload: is not JSON; text needs quotes')
      const faults = await accessibilityFaults(page)
      await page.getByLabel('Payload').fill('"right"')
      await page.getByLabel('Why').fill('it was wrong')
      await page.getByRole('button', { name: 'Save' }).click()

      await untilText(page, 'h1', `Job ${body.id}`)
      await untilText(page, '.timeline [aria-current]', /amend.*it was wrong.*priority 0 → 7, payload/)
      expect(faults).toEqual([])
      expect(await page.locator('pre').first().textContent()).toBe('"right"')
      await page.getByRole('link', { name: 'the one before' }).click()
      expect(JSON.parse((await page.locator('body').textContent())!)).toEqual({ id: body.id, payload: 'wrong' })
    })

    test.runIf(isWhole)('a dead job is edited and requeued, and then succeeds', async () => {
      const server = await startDashboard()
      const id = await deadJob(server)
      server.mend()
      const page = await openPage(`${server.url}/dashboard/jobs/${id}`)

      await page.getByRole('link', { name: 'Edit and requeue…' }).click()
      await page.getByLabel('Payload').fill('"corrected"')
      await page.getByLabel('Retries').fill('5')
      await page.getByRole('button', { name: 'Save and requeue' }).click()

      await untilText(page, 'h1 + .state', 'succeeded')
      expect((await server.get(`/jobs/${id}`)).body).toMatchObject({ payload: 'corrected', max_retries: 5 })
      const { history } = (await server.get(`/jobs/${id}/history`)).body
      const byUser = history.filter(({ cause }: { cause: string }) => cause === 'dashboard')
      expect(byUser.map(({ event }: { event: string }) => event)).toEqual(['requeue', 'amend'])
    })

    test.runIf(isWhole)('cancel stops a running job', async () => {
      const server = await startDashboard()
      const { body } = await server.post('/jobs', { type: 'waiting', payload: null })
      await server.untilState(body.id, 'running')
      const page = await openPage(`${server.url}/dashboard/jobs/${body.id}`)

      await page.getByRole('button', { name: 'Cancel' }).click()

      await untilText(page, 'h1 + .state', 'cancelled')
      server.letGo()
    })

    test.runIf(isWhole)('shows the past while its slider is moved, and the present when it is at the end', async () => {
      const server = await startDashboard()
      const id = await deadJob(server)
      const page = await openPage(`${server.url}/dashboard/jobs/${id}`)
      const slider = page.getByRole('slider')

      await slider.fill('4')
      await expect.poll(() => classOf(page, '#state-retrying')).toContain('current')
      const past = await textOf(page, '.timeline [aria-current]')
      await slider.press('ArrowLeft')
      await expect.poll(() => classOf(page, '#state-running')).toContain('current')
      await slider.press('End')
      await expect.poll(() => classOf(page, '#state-dead')).toContain('current')

      expect(past).toContain('fail')
      expect(new URL(page.url()).search).toBe('')
      await page.goto(`${page.url()}?at=2`)
      expect(await classOf(page, '#state-leased')).toContain('current')
    })
  })

  test.runIf(isWhole)('keeps an opened stack open while the page is updated', async () => {
    const server = await startDashboard()
    const id = await deadJob(server)
    const page = await openPage(`${server.url}/dashboard/jobs/${id}`)
    const stack = page.locator('.timeline details').first()

    await stack.locator('summary').click()
    // The second is requested once the first has been shown.
    for (let made = 0; made < 2; made++) {
      await page.waitForResponse((response) => response.url().endsWith(`/dashboard/jobs/${id}`))
    }

    expect(await stack.locator('pre').isVisible()).toBe(true)
  })

  describe('the list', () => {
    test('finds a word in a payload and in an error, by state and by queue', async () => {
      const server = await startDashboard()
      await server.post('/jobs', [
        { type: 'echo', payload: { animal: 'a Red panda' } },
        { type: 'echo', payload: { animal: 'an axolotl' }, queue: 'water' },
      ])
      const id = await deadJob(server, 'no bamboo for the panda')
      const page = await openPage(`${server.url}/dashboard/jobs`)
      const found = () => page.locator('tbody tr td:first-child').allTextContents()

      await page.getByLabel('Text in payload or error').fill('PANDA')
      await page.getByRole('button', { name: 'Find' }).click()
      const withPanda = await found()
      await page.getByLabel('State').selectOption('dead')
      await page.getByRole('button', { name: 'Find' }).click()
      const deadWithPanda = await found()
      await page.getByRole('link', { name: 'Clear' }).click()
      await page.getByLabel('Queue').fill('water')
      await page.getByLabel('Queue').press('Enter')
      const inWater = await found()

      expect([withPanda, deadWithPanda, inWater]).toEqual([[`${id}`, '1'], [`${id}`], ['2']])
    })

    test.runIf(isWhole)('adds new jobs, leaves a filter alone while it is typed, and links to older jobs', async () => {
      const server = await startDashboard()
      await server.post(
        '/jobs',
        Array.from({ length: 60 }, (_, n) => ({ type: 'echo', payload: n })),
      )
      const page = await openPage(`${server.url}/dashboard/jobs`)
      await untilText(page, 'tbody tr:first-child td:first-child', '60')

      await page.getByLabel('State').selectOption('dead')
      await page.getByLabel('Type').fill('half a na')
      await page.getByLabel('Queue').focus()
      await server.post('/jobs', { type: 'echo', payload: 'new' })
      await untilText(page, 'tbody tr:first-child td:first-child', '61')
      expect([await page.getByLabel('State').inputValue(), await page.getByLabel('Type').inputValue()]).toEqual([
        'dead',
        'half a na',
      ])
      await page.getByRole('link', { name: 'Older jobs' }).click()

      await untilText(page, 'tbody tr:first-child td:first-child', '11')
      expect(await page.locator('tbody tr').count()).toBe(11)
    })

    test.runIf(isWhole)('requeues all the jobs it finds, once their count was shown and confirmed', async () => {
      const server = await startDashboard()
      for (let n = 0; n < 3; n++) await deadJob(server, `fault ${n}`)
      await deadJob(server, 'other')
      server.mend()
      const page = await openPage(`${server.url}/dashboard/jobs?state=dead&text=fault`)

      await page.getByRole('button', { name: 'Requeue…' }).click()
      await untilText(page, '#phase', /^ready: 3 jobs match/)
      const before = await server.system.counts()
      await page.getByRole('button', { name: 'Requeue 3 jobs' }).click()

      await untilText(page, '#phase', /^done: 3 jobs match.*3 changed/)
      expect(before.dead).toBe(4)
      await expect.poll(async () => (await server.system.counts()).succeeded).toBe(3)
      expect((await server.system.counts()).dead).toBe(1)
    })

    test.runIf(isWhole)('continues a long search on its own, and says how far it is', async () => {
      const server = await startDashboard({ started: false })
      await server.post('/jobs', { type: 'echo', payload: 1, queue: 'needle' })
      const hay = Array.from({ length: 1_000 }, (_, n) => ({ type: 'echo', payload: n }))
      for (let n = 0; n < 45; n++) await server.system.enqueue(hay)
      const page = await openPage(`${server.url}/dashboard/jobs?queue=needle`)

      expect(await textOf(page, '#looked')).toMatch(/Searched back to job|End of list/)
      await untilText(page, '#looked', 'End of list.')

      expect(await page.locator('tbody tr td:first-child').allTextContents()).toEqual(['1'])
    })
  })

  test('a schedule is made after its ticks were shown, is paused and triggered, and ends once that is confirmed', async () => {
    const server = await startDashboard()
    const page = await openPage(`${server.url}/dashboard/schedules`, { complaintsOk: /status of 400/ })
    expect(await textOf(page, 'main')).toContain('No schedule makes jobs.')

    await page.getByRole('link', { name: 'New schedule' }).click()
    await page.getByLabel('Name').fill('nightly')
    await page.getByLabel('Cron expression').fill('30 2 30 2 *')
    await page.getByLabel('Time zone').fill('Berlin')
    await page.getByLabel('Type', { exact: true }).fill('echo')
    await page.getByRole('button', { name: 'Preview' }).click()
    const faults = [await textOf(page, '#cron-fault'), await textOf(page, '#zone-fault')]
    await page.getByLabel('Cron expression').fill('30 2 * * *')
    await page.getByLabel('Time zone').fill('Europe/Berlin')
    await page.getByRole('button', { name: 'Preview' }).click()
    const ticks = await page.locator('#ticks tbody tr').count()
    await page.getByRole('button', { name: 'Save' }).click()
    await untilText(page, 'h1 + .state', 'active')
    await page.getByLabel('Why pause').fill('a holiday')
    await page.getByRole('button', { name: 'Pause' }).click()
    await untilText(page, 'h1 + .state', 'paused')
    const paused = await textOf(page, '.card.head')
    await page.getByRole('button', { name: 'Trigger' }).click()
    await untilText(page, '#newest-jobs td:first-child', '1 succeeded')
    await page.getByText('End…').click()
    await page.getByRole('button', { name: 'End nightly' }).click()
    await untilText(page, 'h1 + .state', 'ended')

    expect(faults).toEqual([
      expect.stringContaining('never comes in month'),
      expect.stringContaining('did you mean Europe/Berlin?'),
    ])
    expect(ticks).toBe(5)
    expect(paused).toContain('by a user of the dashboard: a holiday')
    expect(await page.locator('tr[id^=event]').count()).toBe(4)
    await page.getByRole('link', { name: '1', exact: true }).first().click()
    await page.getByRole('link', { name: 'nightly' }).click()
    await untilText(page, 'h1', 'nightly')
  })

  test('text from anybody appears as text everywhere', async () => {
    const server = await startDashboard()
    const id = await deadJob(server, hostile, { idempotency_key: '<img src=x onerror=alert(5)>' })

    const page = await openPage(`${server.url}/dashboard/jobs/${id}`)
    const failure = await page.locator('.timeline .failure').first().textContent()
    const stack = await page.locator('.timeline pre').first().textContent()
    const payload = await page.locator('section > pre').textContent()
    const summary = await textOf(page, '#summary')
    await page.goto(`${server.url}/dashboard/jobs?text=${encodeURIComponent('<script>alert(1)')}`)
    const row = await page.locator('tbody tr').textContent()
    const field = await page.getByLabel('Text in payload or error').inputValue()
    await page.goto(server.url)

    for (const text of hostileSeen) {
      expect(failure).toContain(text)
      expect(payload).toContain(
        JSON.stringify(text).slice(1, -1).replace('␛', '\\u001b').replace('␛', '\\u001b').replace('␀', '\\u0000'),
      )
    }
    expect(stack).toMatch(/^at /)
    expect(summary).toContain('<script>alert(1)</script>')
    expect(row).toContain('<script>alert(1)</script>')
    expect(field).toBe('<script>alert(1)')
    expect(await page.locator('img[src=x], svg[onload], script:not([src])').count()).toBe(0)
  })

  describe('if a token is set', () => {
    test('a form asks for it and returns to the requested page, and no script can read its cookie', async () => {
      const server = await startDashboard({ apiToken })
      const page = await openPage(`${server.url}/dashboard/jobs?state=dead`, { complaintsOk: /401/ })

      await page.getByLabel('API token').fill('not the token of this server')
      await page.getByRole('button', { name: 'Log in' }).click()
      expect(await page.getByRole('alert').textContent()).toBe('That is not the API token of this server.')
      await page.getByLabel('API token').fill(apiToken)
      await page.getByRole('button', { name: 'Log in' }).click()

      await page.waitForURL('**/dashboard/jobs?state=dead')
      expect(await page.evaluate('document.cookie')).toBe('')
      await page.getByRole('link', { name: 'Overview' }).click()
      await page.getByRole('button', { name: 'Log out' }).click()
      await page.waitForURL('**/login')
    })

    test.runIf(isWhole)('the whole dashboard works under a path', async () => {
      const server = await startDashboard({ apiToken, basePath: '/jobs-admin', started: false })
      const { id } = (await server.system.enqueue({ type: 'echo', payload: 1 })) as { id: number }
      const page = await openPage(`${server.url}/jobs-admin`)
      await page.getByLabel('API token').fill(apiToken)

      const [series] = await Promise.all([
        page.waitForResponse('**/jobs-admin/dashboard/series'),
        page.getByRole('button', { name: 'Log in' }).click(),
      ])
      await page.goto(`${server.url}/jobs-admin/dashboard/jobs/${id}`)
      await page.getByRole('button', { name: 'Cancel' }).click()
      await page.waitForURL(`**/jobs-admin/dashboard/jobs/${id}`)

      expect(series.status()).toBe(200)
      await expect.poll(async () => (await server.system.find(id))?.state).toBe('cancelled')
    })

    test.runIf(isWhole)('a foreign site’s form changes nothing, even with the cookie in the browser', async () => {
      const server = await startDashboard({ apiToken })
      const { body } = await server.fetch('/jobs', {
        method: 'POST',
        headers: { authorization: `Bearer ${apiToken}`, 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'echo', payload: 1, delay_ms: 3_600_000 }),
      })
      const evil = createServer((_, answer) => {
        answer.setHeader('content-type', 'text/html')
        answer.end(
          `<form method="post" action="${server.url}/dashboard/jobs/${body.id}/cancel"><button>go</button></form>`,
        )
      }).listen(0)
      whenDone(() => evil.close())
      const page = await openPage(`${server.url}/login`, { complaintsOk: /403|favicon/ })
      await page.getByLabel('API token').fill(apiToken)
      await page.getByRole('button', { name: 'Log in' }).click()
      await untilText(page, 'h1', 'Overview')

      await page.goto(`http://localhost:${(evil.address() as AddressInfo).port}/`)
      const [answer] = await Promise.all([
        page.waitForResponse((response) => response.url().includes('/cancel')),
        page.getByRole('button').click(),
      ])

      expect(answer.status()).toBe(403)
      expect((await server.system.find(body.id))?.state).toBe('scheduled')
    })
  })

  test('every page is accessible without sight or a mouse, in light and dark mode, and on a phone', async () => {
    const server = await startDashboard()
    const id = await deadJob(server, hostile)
    await server.post('/jobs', { type: 'waiting', payload: null })
    const bulk = await server.system.prepareBulk('requeue', {})
    await bulk.settled()
    const page = await openPage(`${server.url}/login`, { viewport: { width: 390, height: 800 } })
    await server.system.schedules.put({ name: 'odd', cron: '*/7 2 1 * 1', job: { type: 'echo', payload: hostile } })
    await server.system.schedules.trigger('odd')
    const paths = [
      ...[
        '/',
        '/dashboard/jobs',
        `/dashboard/jobs/${id}`,
        `/dashboard/jobs/${id}/edit`,
        `/dashboard/bulk/${bulk.id}`,
        '/docs',
      ],
      ...['/dashboard/schedules', '/dashboard/schedules/odd', '/dashboard/schedules/odd/edit'],
    ]

    // Every second of them is in a share.
    for (const [index, path] of paths.filter((_, at) => isWhole || at % 2 === 0).entries()) {
      await page.emulateMedia({ colorScheme: index % 2 === 0 ? 'dark' : 'light' })
      await page.goto(server.url + path)
      expect([path, await accessibilityFaults(page)]).toEqual([path, []])
      const overflow = await page.evaluate(
        'document.documentElement.scrollWidth - document.documentElement.clientWidth',
      )
      expect([path, overflow]).toEqual([path, 0])
    }
    server.letGo()
  })
})
