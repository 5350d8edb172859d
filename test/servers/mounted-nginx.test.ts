import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { createHttp, type HttpOptions } from '../../src/http/index.ts'
import { describeInBrowser, openPage } from '../support/browser.ts'
import { routes } from '../support/routes.ts'
import { testHandlers } from '../support/server.ts'
import { startSystem, untilState } from '../support/system.ts'
import { whenDone } from '../support/temp.ts'
import { runNginx } from './nginx.ts'
import { describeWith, freePort } from './servers.ts'

const apiToken = 'a-token-of-enough-length'
const at = '/tools/admin/jobs'

/** An app that has mounted the jobs at /admin/jobs, behind nginx, which serves it at https://…/tools/. */
async function startBehindNginx(options: HttpOptions) {
  const { system } = await startSystem({ handlers: testHandlers, retryBaseMs: 1, retryMaxMs: 1 })
  const http = createHttp(system, { basePath: at, ...options })
  const app = createServer((incoming, outgoing) => {
    if (/^\/admin\/jobs([/?]|$)/.test(incoming.url!)) void http.requestListener(incoming, outgoing)
    else outgoing.end('the app itself')
  }).listen(0, '127.0.0.1')
  await once(app, 'listening')
  whenDone(async () => {
    await http.close()
    app.closeAllConnections()
    app.close()
  })
  const port = await freePort()
  const upstream = (app.address() as AddressInfo).port
  const locations = `location /tools/ {
      proxy_pass http://127.0.0.1:${upstream}/;
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;
    }`
  await runNginx(port, locations, { isTls: true })
  return { system, url: `https://127.0.0.1:${port}` }
}

const linksOf = (page: Page) =>
  page.evaluate<string[]>(`[...document.querySelectorAll('a[href]')].map(({ href }) => href.replace(/#.*/, ''))`)

describeWith(['nginx'], 'mounted in an app behind nginx with TLS and a path of its own', () => {
  describeInBrowser('in a browser', () => {
    test('the log-in, every link, form and chart, and live numbers work', async () => {
      const { system, url } = await startBehindNginx({ apiToken })
      const { id: dead } = await system.enqueue({ type: 'broken', payload: { order: 1 }, maxRetries: 0 })
      await untilState(system, dead, 'dead')
      const { id: waiting } = await system.enqueue({ type: 'echo', payload: null, delayMs: 3_600_000 })

      const page = await openPage(`${url}${at}`)
      expect(page.url()).toBe(`${url}${at}/login?next=%2F`)
      await page.fill('input[name=token]', apiToken)
      await page.click('button[type=submit]')
      await page.waitForSelector('#tile-dead')
      expect(page.url()).toBe(`${url}${at}/`)
      const [cookie] = await page.context().cookies()
      expect(cookie).toMatchObject({ path: at, secure: true, httpOnly: true, sameSite: 'Strict' })

      // Charts: the machine, drawn by the server, and the series, drawn by the script.
      await page.waitForSelector('#jobs-now ~ * svg.chart, section svg.chart')
      await page.waitForSelector('.series canvas')

      // A number changes without a reload.
      await page.evaluate('globalThis.isSamePage = true')
      const { id: later } = await system.enqueue({ type: 'echo', payload: null, delayMs: 3_600_000 })
      await expect.poll(() => page.textContent('#tile-scheduled')).toBe('2')
      expect(await page.evaluate('isSamePage')).toBe(true)

      // Every link of every page, one after another.
      const seen = new Set<string>()
      const open = [`${url}${at}/`, `${url}${at}/dashboard/jobs/${dead}`, `${url}${at}/dashboard/jobs?state=dead`]
      while (open.length > 0 && seen.size < 40) {
        const link = open.shift()!
        if (seen.has(link)) continue
        seen.add(link)
        expect(link.startsWith(`${url}${at}`)).toBe(true)
        const answer = await page.request.get(link)
        expect([link, answer.status()]).toEqual([link, 200])
        if (!(answer.headers()['content-type'] ?? '').startsWith('text/html')) continue
        await page.goto(link)
        open.push(...(await linksOf(page)))
      }
      expect(seen.size).toBeGreaterThan(15)

      // Forms: a filter, a command with a reason, a bulk action with its confirmation.
      await page.goto(`${url}${at}/dashboard/jobs`)
      await page.selectOption('select[name=state]', 'dead')
      await page.click('form[method=get] button[type=submit], form:not([method=post]) button[type=submit]')
      await page.waitForSelector(`#job-${dead}`)
      expect(page.url()).toContain('state=dead')
      await page.goto(`${url}${at}/dashboard/jobs/${waiting}`)
      await page.fill('input[name=reason]', 'not needed')
      await page.click(`form[action="${at}/dashboard/jobs/${waiting}/cancel"] button`)
      await expect.poll(() => page.textContent('body')).toContain('not needed')
      expect((await system.find(waiting))!.state).toBe('cancelled')
      await page.goto(`${url}${at}/dashboard/jobs?state=cancelled`)
      await page.click(`form[action="${at}/dashboard/bulk"] button`)
      await page.fill('form[action$="/run"] input[name=reason]', 'it was needed after all')
      await page.click('form[action$="/run"] button')
      await expect.poll(() => page.textContent('#phase')).toContain('done')
      expect((await system.history(waiting)).map(({ reason }) => reason)).toContain('it was needed after all')
      await untilState(system, waiting, 'succeeded')

      // Transitions, as they happen.
      const streamed = page.evaluate<string>(`new Promise((resolve) => {
        const events = new EventSource('${at}/events')
        events.addEventListener('transition', ({ data }) => resolve(data))
        events.addEventListener('open', () => fetch('${at}/jobs/${later}/cancel', { method: 'POST' }))
      })`)
      expect(JSON.parse(await streamed)).toMatchObject({ job_id: later, event: 'cancel' })

      await page.goto(`${url}${at}/`)
      await page.click(`form[action="${at}/logout"] button`)
      await page.waitForSelector('input[name=token]')
      expect(page.url()).toBe(`${url}${at}/login`)
      expect((await page.request.get(`${url}${at}/jobs`)).status()).toBe(401)
    })

    test('read-only shows everything without a button, and every changing route is refused', async () => {
      const { system, url } = await startBehindNginx({ readOnly: true })
      const { id: dead } = await system.enqueue({ type: 'broken', payload: { order: 1 }, maxRetries: 0 })
      await untilState(system, dead, 'dead')
      const before = await system.edgeCounts()

      const page = await openPage(`${url}${at}`)
      await page.waitForSelector('.series canvas')
      const pages = ['', '/dashboard/jobs', '/dashboard/jobs?state=dead', `/dashboard/jobs/${dead}`, '/docs']
      for (const path of pages) {
        await page.goto(`${url}${at}${path}`)
        const buttons = await page.evaluate<string[]>(
          `[...document.querySelectorAll('form[method=post], button')].map((found) => found.outerHTML)`,
        )
        // The search changes nothing.
        expect([path, buttons.filter((html) => !html.includes('>Find<'))]).toEqual([path, []])
      }
      expect(await page.textContent('body')).not.toContain('Log out')

      const changing = routes.flatMap((route) => ('role' in route ? [route] : []))
      for (const { path, takes } of changing) {
        const asked = `${url}${at}${path.replace(':id', `${dead}`).replace(':bulk', 'none')}`
        const type = takes === 'json' ? 'application/json' : 'application/x-www-form-urlencoded'
        const answer = await page.request.post(asked, { headers: { 'content-type': type }, data: '' })
        expect([path, answer.status()]).toEqual([path, 403])
      }
      expect(changing.length).toBeGreaterThanOrEqual(10)
      expect(await system.edgeCounts()).toEqual(before)
    })
  })
})
