/**
 * Measures what schedules cost: `npm run build && node scripts/measure-schedules.js [seconds]`. A thousand schedules tick every second and ten
 * thousand once a day, on a file; it prints how late their jobs are stored, and what processor time each thread took.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { z } from 'zod'

const seconds = Number(process.argv[2] ?? 10)
const everySecond = Number(process.argv[3] ?? 1_000)
const daily = Number(process.argv[4] ?? 10_000)
const { createJobSystem, defineHandler } = await import(resolve('dist/index.js'))
const folder = mkdtempSync(join(tmpdir(), 'jobmachine-schedules-'))
const handler = defineHandler({ type: 'work', payload: z.unknown(), run() {} })
const job = { type: 'work', payload: { n: 1 } }
const at = (n) => `${n % 60} ${Math.floor(n / 60) % 60} ${Math.floor(n / 3_600) % 24} * * *`
const system = await createJobSystem({ database: join(folder, 'jobs.db'), handlers: [handler], workers: 10 })
await system.start()
const made = performance.now()
const all = [
  ...Array.from({ length: everySecond }, (_, n) => ({ name: `second-${n}`, cron: '* * * * * *', job })),
  ...Array.from({ length: daily }, (_, n) => ({ name: `day-${n}`, cron: at(n * 8), job })),
]
for (let from = 0; from < all.length; from += 500)
  await Promise.all(all.slice(from, from + 500).map((schedule) => system.schedules.put(schedule)))
console.log(`${all.length} schedules made in ${Math.round(performance.now() - made)} ms`)

await new Promise((done) => setTimeout(done, 2_500))
const before = threads()
const since = Date.now()
await new Promise((done) => setTimeout(done, seconds * 1_000))
const until = Date.now()
const after = threads()

const late = []
for (let n = 0; n < everySecond; n += Math.max(1, Math.floor(everySecond / 100))) {
  const ticks = (await system.schedules.history(`second-${n}`)).filter(({ tick }) => tick !== null && tick > since)
  const kept = ticks.filter(({ tick }) => tick < until - 500)
  if (kept.length < seconds - 2) console.log(`second-${n} had ${kept.length} ticks`)
  late.push(...kept.map(({ at: stored, tick }) => stored - tick))
}
late.sort((a, b) => a - b)
const share = (q) => late[Math.min(late.length - 1, Math.floor(q * late.length))]
console.log(`late by ms: median ${share(0.5)}, p99 ${share(0.99)}, most ${late.at(-1)} (of ${late.length} ticks)`)
for (const [id, ticks] of after) {
  const used = ((ticks - (before.get(id) ?? 0)) * 10) / (until - since)
  if (used > 0.002)
    console.log(`thread ${id === `${process.pid}` ? 'of the loop' : id}: ${(100 * used).toFixed(1)} % of a core`)
}
console.log('counts', JSON.stringify(await system.counts()))
await system.stop()
rmSync(folder, { recursive: true })

/** Hundredths of a second of processor time, by thread. */
function threads() {
  return new Map(
    readdirSync('/proc/self/task').map((id) => {
      const fields = readFileSync(`/proc/self/task/${id}/stat`, 'utf8').split(') ')[1].split(' ')
      return [id, Number(fields[11]) + Number(fields[12])]
    }),
  )
}
