import { execFileSync, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

// npm run test:frameworks: what a new user does, in an empty project that has the packed package, under each Node.js: the README's first job, then
// five more lines that mount the dashboard in an app of Express and of hono, and examples/web/next. Takes some minutes; much longer under Node.js 20
// if the binary of better-sqlite3 has to be compiled. Arguments: versions of Node.js, 20, 22 and 24 unless given; names of frameworks;
// `--screenshots` takes docs/images/embedded-*.png under the last version, with the Chromium that CHROMIUM names.
const root = resolve(import.meta.dirname, '..')
const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const zod = `zod@${dependencies.zod}`
const withPictures = process.argv.includes('--screenshots')
const words = process.argv.slice(2).filter((word) => !word.startsWith('-'))
const given = words.filter((word) => /^\d/.test(word))
const names = words.filter((word) => !given.includes(word))
const versions = given.length > 0 ? given : ['20', '22', '24']
const scratch = mkdtempSync(join(tmpdir(), 'jobmachine-frameworks-'))
const at = '/admin/jobs'
const firstJobMaxS = 60
const firstJobMaxLines = 15
const startMaxMs = 60_000
let faults = 0

/** The README's first code: a handler, a system and a job. */
const [, firstJob] = /## In your own process[\s\S]*?```js\n([\s\S]*?)```/.exec(
  readFileSync(join(root, 'README.md'), 'utf8'),
)
const aResize = { type: 'resize', payload: { image: 'cat.png', width: 300 } }
const mounted = {
  express: `
import express from 'express'
import { createHttp } from 'jobmachine/http'
const app = express()
app.use('${at}', createHttp(system, { basePath: '${at}' }).requestListener)
app.listen(process.env.PORT)`,
  hono: `
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { createHttp } from 'jobmachine/http'
const app = new Hono().mount('${at}', createHttp(system, { basePath: '${at}' }).fetch)
serve({ fetch: app.fetch, port: Number(process.env.PORT) })`,
}
const projects = [
  { name: 'express', packages: [`express@${devDependencies.express}`], job: aResize },
  {
    name: 'hono',
    packages: ['hono', '@hono/node-server'].map((name) => `${name}@${dependencies[name]}`),
    job: aResize,
  },
  {
    name: 'next',
    packages: ['next@16', 'react@19', 'react-dom@19'],
    job: { type: 'welcome', payload: { name: 'Ada' } },
  },
]

function check(what, isSo) {
  if (!isSo) faults++
  console.log(`${isSo ? 'ok' : 'NOT'}: ${what}`)
}

const linesOf = (code) => code.trim().split('\n').length
const under = (node, ...command) => ['-y', '-p', `node@${node}`, '--', ...command]

function run(node, folder, ...command) {
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1' }
  return execFileSync('npx', under(node, ...command), { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
}

/** Starts a program and gives what ends it; `said` is called with all that it has printed. */
function start(node, folder, env, command, said = () => {}) {
  const options = { cwd: folder, env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1', ...env }, detached: true }
  const child = spawn('npx', under(node, ...command), { ...options, stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
    said(text)
  })
  // npx has children of its own.
  return () => process.kill(-child.pid, 'SIGKILL')
}

/** From nothing to the line that the first job prints. */
async function tryFirstJob(node, tarball, folder) {
  const from = performance.now()
  run(node, folder, 'npm', 'install', '--no-audit', '--no-fund', tarball, zod)
  writeFileSync(join(folder, 'first.js'), firstJob)
  let stop = () => {}
  const ran = new Promise((resolve) => {
    stop = start(node, folder, {}, ['node', 'first.js'], (text) => text.includes('resizing cat.png') && resolve(true))
  })
  const isRun = await Promise.race([ran, sleep(startMaxMs, false, { ref: false })])
  stop()
  const seconds = (performance.now() - from) / 1_000
  const lines = linesOf(firstJob)
  check(
    `Node.js ${node}: the first job ran after ${seconds.toFixed(1)} s, of ${lines} lines`,
    isRun && seconds <= firstJobMaxS && lines <= firstJobMaxLines,
  )
}

async function tryFramework(node, folder, { name, packages, job }) {
  rmSync(join(folder, 'data'), { recursive: true, force: true })
  if (name === 'next') cpSync(join(root, 'examples/web/next'), folder, { recursive: true })
  else writeFileSync(join(folder, `${name}.js`), firstJob + mounted[name])
  run(node, folder, 'npm', 'install', '--no-audit', '--no-fund', ...packages)
  if (name === 'next') run(node, folder, 'npx', 'next', 'build')
  else check(`${name}: ${linesOf(mounted[name])} lines more`, linesOf(mounted[name]) <= 5)
  const port = await freePort()
  const command = name === 'next' ? ['npx', 'next', 'start', '-p', `${port}`] : ['node', `${name}.js`]
  const stop = start(node, folder, { PORT: `${port}` }, command)
  try {
    const url = `http://localhost:${port}`
    await untilAnswered(`${url}${at}`)
    await checkAt(url, job)
    const version = JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')).version
    if (withPictures && node === versions.at(-1)) await takePicture(`${url}${at}/`, name, `${name} ${version}`, job)
  } finally {
    stop()
  }
}

async function freePort() {
  const probe = createServer().listen(0)
  const { port } = probe.address()
  await new Promise((closed) => probe.close(closed))
  return port
}

async function untilAnswered(url) {
  for (const from = performance.now(); performance.now() - from < startMaxMs; await sleep(300)) {
    const isThere = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    )
    if (isThere) return
  }
}

async function checkAt(url, job) {
  const post = (path, body, headers) => fetch(url + at + path, { method: 'POST', body, headers, redirect: 'manual' })
  const links = new Set()
  for (const path of ['', '/dashboard/jobs', '/docs']) {
    const html = await (await fetch(url + at + path)).text()
    for (const [, link] of html.matchAll(/ (?:href|src|action)="([^"#][^"]*)"/g))
      links.add(link.replaceAll('&amp;', '&'))
  }
  const statuses = await Promise.all([...links].map(async (link) => (await fetch(url + link)).status))
  const isGood = [...links].every((link, index) => link.startsWith(`${at}/`) && [200, 405].includes(statuses[index]))
  check(`${links.size} links, forms and assets are under ${at}, and there`, links.size > 15 && isGood)
  const json = { 'content-type': 'application/json' }
  const stream = await fetch(`${url}${at}/events`)
  const reader = stream.body.getReader()
  check('a job is created', (await post('/jobs', JSON.stringify(job), json)).status === 201)
  let told = ''
  while (!told.includes('"to":"succeeded"')) told += Buffer.from((await reader.read()).value)
  await reader.cancel()
  check('it runs, and its transitions are streamed', true)
  check('a wrong body is refused', (await post('/jobs', '{', json)).status === 400)
  const { id } = await (await post('/jobs', JSON.stringify({ ...job, delay_ms: 3_600_000 }), json)).json()
  const form = { 'content-type': 'application/x-www-form-urlencoded', origin: url }
  const pressed = await post(`/dashboard/jobs/${id}/cancel`, 'reason=test', form)
  check('a button works', pressed.status === 303 && pressed.headers.get('location') === `${at}/dashboard/jobs/${id}`)
}

/** The overview with some jobs, under a line that says where it is. */
async function takePicture(url, name, title, job) {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
  if (!existsSync(executablePath)) return check(`there is a Chromium at ${executablePath}`, false)
  const { chromium } = await import('playwright-core')
  const jobs = Array.from({ length: 12 }, (_, n) => ({ ...job, ...(n % 3 > 0 && { delay_ms: 3_600_000 * (n + 1) }) }))
  await fetch(`${url}jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(jobs),
  })
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
  try {
    const page = await browser.newPage({ viewport: { width: 1_000, height: 620 } })
    await page.goto(url)
    await sleep(2_500)
    // Beside the body, which the page makes anew again and again.
    await page.evaluate((text) => {
      const line = document.createElement('div')
      line.textContent = text
      line.style.cssText =
        'position:sticky;top:0;z-index:9;padding:6px 16px;background:#dde3ea;color:#111;font:14px monospace'
      document.documentElement.prepend(line)
    }, `${page.url()} — ${title}`)
    await page.screenshot({ path: join(root, `docs/images/embedded-${name}.png`) })
    console.log(`docs/images/embedded-${name}.png`)
  } finally {
    await browser.close()
  }
}

try {
  execFileSync('npm', ['pack', '--ignore-scripts', '--pack-destination', scratch], { cwd: root, stdio: 'ignore' })
  const [packed] = readdirSync(scratch).filter((name) => name.endsWith('.tgz'))
  const tarball = join(scratch, packed)
  for (const node of versions) {
    const folder = mkdtempSync(join(scratch, `node-${node}-`))
    writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
    await tryFirstJob(node, tarball, folder)
    for (const project of projects) {
      if (names.length > 0 && !names.includes(project.name)) continue
      console.log(`${project.name}, Node.js ${node}:`)
      await tryFramework(node, folder, project)
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
process.exitCode = faults > 0 ? 1 : 0
