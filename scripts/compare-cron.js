/**
 * Compares what schedulers make of the cases in test/schedule/cron-cases.json: `npm run build && node scripts/compare-cron.js`. It installs
 * pinned packages in a temporary folder, and prints a table, which docs/schedules.md has, and the cases in which each of them differs.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const packages = {
  croner: '11.0.1',
  'cron-parser': '5.10.6',
  bullmq: '6.7.0',
  'pg-boss': '12.38.0',
  'graphile-worker': '0.18.0',
}
/** Passes of pg-boss are tried minute by minute over at most so long; over more than that its preview is asked. */
const passesMaxMs = 3 * 86_400_000
/** graphile-worker looks at each minute too; no case of the table needs more. */
const minutesMax = 9 * 366 * 1_440

const cases = JSON.parse(readFileSync(new URL('../test/schedule/cron-cases.json', import.meta.url), 'utf8'))
const folder = mkdtempSync(join(tmpdir(), 'compare-cron-'))
try {
  await compare()
} finally {
  rmSync(folder, { recursive: true })
}

async function compare() {
  install()
  const schedulers = [
    await jobmachine(),
    await croner(),
    await cronParser(),
    await bullmq(),
    await pgBoss(),
    await graphileWorker(),
  ]
  const results = schedulers.map(({ name, ticks }) => ({ name, wrong: cases.filter((asked) => !agrees(asked, ticks)) }))
  const topics = [...new Set(cases.map(({ topic }) => topic))]
  const cells = (wrong, all) => `${all.length - wrong.length}`
  const row = (title, all) =>
    [
      title,
      `${all.length}`,
      ...results.map(({ wrong }) =>
        cells(
          wrong.filter((one) => all.includes(one)),
          all,
        ),
      ),
    ].join(' | ')
  const lines = [
    ['cases', 'of', ...results.map(({ name }) => name)].join(' | '),
    ['---', ...Array(results.length + 1).fill('--:')].join(' | '),
    ...topics.map((topic) =>
      row(
        topic,
        cases.filter((one) => one.topic === topic),
      ),
    ),
    row('all', cases),
  ]
  console.log(`Node.js ${process.versions.node}, time zones ${process.versions.tz}\n`)
  console.log(lines.map((line) => `| ${line} |`).join('\n'))
  for (const { name, wrong } of results)
    console.log(`\n${name} differs in: ${wrong.map(({ id }) => id).join(' ') || 'none'}`)
}

function install() {
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  const wanted = Object.entries(packages).map(([name, version]) => `${name}@${version}`)
  execFileSync('npm', ['install', '--silent', '--no-audit', '--no-fund', ...wanted], { cwd: folder, stdio: 'inherit' })
}

/** Whether a scheduler gives the ticks of a case, or refuses what is to be refused. */
function agrees({ expression, zone, after, next, error }, ticks) {
  const wanted = (next ?? []).map((text) => Date.parse(text))
  try {
    const given = ticks(expression, zone, Date.parse(after), wanted.length || 1, wanted.at(-1) ?? Date.parse(after))
    return !error && `${given.map(Number)}` === `${wanted}`
  } catch {
    return error === true
  }
}

/** The first `count` results of a function that gives the next one after an instant. */
function iterate(next, after, count) {
  const found = []
  for (let at = after; found.length < count && at !== null; ) {
    at = next(at)
    if (at !== null) found.push(at)
  }
  return found
}

async function jobmachine() {
  const [{ parseCron }, { nextCronTick }, { Zone, zoneIssues }] = await Promise.all(
    ['cron', 'cron-ticks', 'zone'].map((name) => import(`../dist/schedule/${name}.js`)),
  )
  return {
    name: 'jobmachine',
    ticks(expression, zone, after, count) {
      const cron = parseCron(expression, 'cron')
      if (Array.isArray(cron) || zoneIssues(zone, 'zone').length > 0) throw new Error('refused')
      return iterate((at) => nextCronTick(cron, Zone.named(zone), at), after, count)
    },
  }
}

async function croner() {
  const { Cron } = await load('croner/dist/croner.js')
  return {
    name: `croner ${packages.croner}`,
    ticks: (expression, zone, after, count) =>
      new Cron(expression, { timezone: zone, paused: true }).nextRuns(count, new Date(after)),
  }
}

async function cronParser() {
  const { CronExpressionParser } = await load('cron-parser/dist/index.js')
  return {
    name: `cron-parser ${packages['cron-parser']}`,
    ticks: (expression, zone, after, count) =>
      CronExpressionParser.parse(expression, { tz: zone, currentDate: new Date(after) })
        .take(count)
        .map((date) => date.getTime()),
  }
}

/** The function with which it plans the next job, from the time of the last one. */
async function bullmq() {
  const { defaultRepeatStrategy } = await load('bullmq/dist/cjs/index.js')
  return {
    name: `BullMQ ${packages.bullmq}`,
    ticks: (expression, zone, after, count) =>
      iterate((at) => defaultRepeatStrategy(at, { pattern: expression, tz: zone }) ?? null, after, count),
  }
}

/** What its passes send. A pass looks for what was due in the last minute. */
async function pgBoss() {
  const { default: Timekeeper } = await load('pg-boss/dist/timekeeper.js')
  const boss = Object.create(Timekeeper.prototype)
  return {
    name: `pg-boss ${packages['pg-boss']}`,
    ticks(expression, zone, after, count, last) {
      const preview = boss.previewSchedule(expression, { tz: zone, from: new Date(after), count })
      if (last - after > passesMaxMs) return preview
      const sent = new Set()
      for (let at = after - (after % 60_000) + 59_999; at < last + 120_000; at += 60_000)
        for (const tick of boss.dueOccurrences(expression, 'cron', zone, at).occurrences) sent.add(tick.getTime())
      return [...sent].filter((tick) => tick > after).slice(0, count)
    },
  }
}

/** It knows UTC only, so a case in another zone cannot agree. */
async function graphileWorker() {
  const { parseCrontab } = await load('graphile-worker/dist/index.js')
  return {
    name: `graphile-worker ${packages['graphile-worker']}`,
    ticks(expression, zone, after, count) {
      const [{ match }] = parseCrontab(`${expression} task`)
      if (zone !== 'UTC') return []
      const found = []
      let at = after - (after % 60_000)
      for (let minutes = 0; found.length < count && minutes < minutesMax; minutes++) {
        at += 60_000
        if (match(digest(new Date(at)))) found.push(at)
      }
      return found
    },
  }
}

function digest(date) {
  const [min, hour] = [date.getUTCMinutes(), date.getUTCHours()]
  return { min, hour, date: date.getUTCDate(), month: date.getUTCMonth() + 1, dow: date.getUTCDay() }
}

function load(path) {
  return import(pathToFileURL(join(folder, 'node_modules', path)).href)
}
