import { execFileSync, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

// npm run test:frameworks: builds and starts examples/web/next in an empty project with the packed package. Takes some minutes.
const root = resolve(import.meta.dirname, '..')
const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const folder = mkdtempSync(join(tmpdir(), 'jobmachine-next-'))
const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', DATABASE_PATH: join(folder, 'jobs.db') }
const run = (program, ...args) =>
  execFileSync(program, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
const at = '/admin/jobs'
let faults = 0

function check(what, isSo) {
  if (!isSo) faults++
  console.log(`${isSo ? 'ok' : 'NOT'}: ${what}`)
}

async function checkAt(url) {
  const post = (path, body, headers) => fetch(url + at + path, { method: 'POST', body, headers, redirect: 'manual' })
  check('the app keeps its own page', (await (await fetch(url)).text()).includes('the app itself'))
  const links = new Set()
  for (const path of ['', '/dashboard/jobs', '/docs']) {
    const html = await (await fetch(url + at + path)).text()
    for (const [, link] of html.matchAll(/ (?:href|src|action)="([^"#][^"]*)"/g))
      links.add(link.replaceAll('&amp;', '&'))
  }
  const statuses = await Promise.all([...links].map(async (link) => (await fetch(url + link)).status))
  const isGood = [...links].every((link, index) => link.startsWith(`${at}/`) && [200, 405].includes(statuses[index]))
  check(`${links.size} links, forms and assets are under ${at}, and there`, links.size > 15 && isGood)
  const job = JSON.stringify({ type: 'welcome', payload: { name: 'Ada' } })
  const later = JSON.stringify({ type: 'welcome', payload: { name: 'Ada' }, delay_ms: 3_600_000 })
  const json = { 'content-type': 'application/json' }
  const stream = await fetch(`${url}${at}/events`)
  const reader = stream.body.getReader()
  check('a job is created', (await post('/jobs', job, json)).status === 201)
  let told = ''
  while (!told.includes('"to":"succeeded"')) told += Buffer.from((await reader.read()).value)
  await reader.cancel()
  check('it runs, and its transitions are streamed', true)
  check('a wrong body is refused', (await post('/jobs', '{', json)).status === 400)
  const { id } = await (await post('/jobs', later, json)).json()
  const form = { 'content-type': 'application/x-www-form-urlencoded', origin: url }
  const pressed = await post(`/dashboard/jobs/${id}/cancel`, 'reason=test', form)
  check('a button works', pressed.status === 303 && pressed.headers.get('location') === `${at}/dashboard/jobs/${id}`)
}

try {
  const packing = ['pack', '--ignore-scripts', '--pack-destination', folder]
  const packed = execFileSync('npm', packing, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim()
  cpSync(join(root, 'examples/web/next'), folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  run(
    'npm',
    'install',
    '--no-audit',
    '--no-fund',
    `./${packed}`,
    'next@16',
    'react@19',
    'react-dom@19',
    `zod@${dependencies.zod}`,
  )
  run('npx', 'next', 'build')
  const probe = createServer().listen(0)
  const { port } = probe.address()
  await new Promise((closed) => probe.close(closed))
  const next = join(folder, 'node_modules/next/dist/bin/next')
  const server = spawn(process.execPath, [next, 'start', '-p', `${port}`], { cwd: folder, env, stdio: 'inherit' })
  try {
    const url = `http://localhost:${port}`
    for (let tries = 0; tries < 100; tries++) {
      if (
        await fetch(url).then(
          (answer) => answer.ok,
          () => false,
        )
      )
        break
      await new Promise((later) => setTimeout(later, 300))
    }
    await checkAt(url)
  } finally {
    server.kill('SIGKILL')
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exitCode = faults > 0 ? 1 : 0
