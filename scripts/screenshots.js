/**
 * Makes the pictures of the README, docs/images/*.png: the overview of a busy server, and the page of a dead job. Needs the build and a
 * Chromium (set CHROMIUM; /usr/bin/chromium by default).
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { chromium } from 'playwright-core'
import { z } from 'zod'
import { createHttp } from '../dist/http/index.js'
import { createJobSystem, defineHandler } from '../dist/index.js'

const target = join(import.meta.dirname, '../docs/images')
const width = 1_200
const folder = mkdtempSync(join(tmpdir(), 'jobmachine-screenshots-'))
const payload = z.unknown()
const between = (least, most) => least + Math.random() * (most - least)

const handlers = [
  defineHandler({ type: 'resize', payload, run: () => sleep(between(20, 250)) }),
  defineHandler({ type: 'report', payload, run: (_, { signal }) => sleep(60_000, undefined, { signal }) }),
  defineHandler({
    type: 'charge',
    payload,
    backoffMs: () => between(500, 4_000),
    async run() {
      await sleep(between(30, 80))
      if (Math.random() < 0.4) throw new Error('the payment provider answered 503')
    },
  }),
  defineHandler({
    type: 'welcome',
    payload,
    maxRetries: 2,
    backoffMs: () => 400,
    async run() {
      await sleep(40)
      throw new TypeError("Cannot read properties of undefined (reading 'firstName')")
    },
  }),
]
const log = { debug() {}, info() {}, warn() {}, error: console.error, child: () => log }
const system = await createJobSystem({ database: join(folder, 'jobs.db'), handlers, workers: 12 })
const http = createHttp(system, { log })
const server = await http.listen({ port: 0 })
await system.start()

const { id: deadId } = await system.enqueue({
  type: 'welcome',
  payload: { user: 4711, email: 'ada@example.com' },
  queue: 'mail',
})
await system.enqueue([
  ...Array.from({ length: 3 }, (_, user) => ({ type: 'welcome', payload: { user }, queue: 'mail' })),
  ...Array.from({ length: 2 }, (_, month) => ({ type: 'report', payload: { month }, queue: 'reports' })),
  ...Array.from({ length: 14 }, (_, n) => ({ type: 'resize', payload: { image: `${n}.png` }, delayMs: 3_600_000 })),
])
const { id: cancelled } = await system.enqueue({ type: 'report', payload: { month: 9 }, delayMs: 86_400_000 })
await system.cancel(cancelled)
const feeding = setInterval(() => {
  const jobs = Array.from({ length: Math.round(between(8, 26)) }, (_, n) =>
    n % 6 === 0 ? { type: 'charge', payload: { order: n } } : { type: 'resize', payload: { image: `cat-${n}.png` } },
  )
  void system.enqueue(jobs)
}, 400)

console.log('letting jobs run for a minute, so that there is something to see over time')
await sleep(60_000)
mkdirSync(target, { recursive: true })
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
})
const page = await browser.newPage()
for (const [name, path, height] of [
  ['overview', '/', 1_350],
  ['dead-job', `/dashboard/jobs/${deadId}`, 1_620],
]) {
  await page.setViewportSize({ width, height })
  await page.goto(server.url + path)
  await sleep(2_500)
  await page.screenshot({ path: join(target, `${name}.png`) })
  console.log(`docs/images/${name}.png`)
}
await browser.close()
clearInterval(feeding)
await http.close(0)
await system.stop({ graceMs: 0 })
rmSync(folder, { recursive: true, force: true })
