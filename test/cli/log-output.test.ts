import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { LogOutput } from '../../src/cli/log.ts'
import { briefly, built } from '../support/built.ts'
import { parseMetrics, sampleOf } from '../support/metrics-text.ts'
import { badOutputs, type Output, stalledReader } from '../support/outputs.ts'
import { shareOf } from '../support/share.ts'
import { until } from '../support/system.ts'
import { tempFolder, whenDone } from '../support/temp.ts'

/** For what happens soon, on any machine. */
const patienceMs = 90_000

/**
 * Makes a signal leave a rejection behind, which nothing that ships does, and a file say the port: the server's standard output cannot.
 */
const preload = `
  import { renameSync, writeFileSync } from 'node:fs'
  import { Server } from 'node:net'
  process.on('SIGUSR2', () => Promise.reject(new Error('left behind')))
  const { listen } = Server.prototype
  Server.prototype.listen = function (...args) {
    this.once('listening', () => {
      writeFileSync('port.new', String(this.address().port))
      renameSync('port.new', 'port')
    })
    return listen.apply(this, args)
  }`

/** A real server with that standard output. */
async function serveTo({ descriptor }: Output, grace = '25000') {
  const folder = tempFolder()
  const child = spawn(process.execPath, [...briefly, built('main.js')], {
    cwd: folder,
    env: {
      PATH: process.env.PATH ?? '',
      PORT: '0',
      DATABASE_PATH: join(folder, 'jobs.db'),
      SHUTDOWN_GRACE_MS: grace,
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}`,
    },
    stdio: ['ignore', descriptor, 'inherit'],
  })
  const exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  whenDone(() => child.kill('SIGKILL'))
  await until(() => existsSync(join(folder, 'port')))
  const url = `http://127.0.0.1:${readFileSync(join(folder, 'port'), 'utf8')}`
  const untilAnswered = (path: string, wanted: RegExp) =>
    vi.waitFor(async () => expect(await (await fetch(url + path)).text()).toMatch(wanted), {
      timeout: patienceMs,
      interval: 20,
    })
  await untilAnswered('/readyz', /ready/)
  return { child, exited, url, untilAnswered }
}

const gone = 'a pipe whose reader is gone'
const full = 'a pipe that is full and that nobody reads'
const onFullDisk = 'a file on a full disk'
const all = [gone, full, onFullDisk] as const
type Kind = (typeof all)[number]

describe('a server whose standard output is', () => {
  test.each(shareOf<readonly Kind[]>({ share: [onFullDisk], whole: all }))(
    '%s answers, runs jobs, and ends with 0 when told to stop',
    async (kind) => {
      const output = badOutputs[kind]()
      if (!output) return
      const { child, exited, url, untilAnswered } = await serveTo(output)
      // An attempt that fails is logged.
      const job = { type: 'webhook', payload: { url: 'http://127.0.0.1:1/' }, max_retries: 0 }
      const headers = { 'content-type': 'application/json' }
      await fetch(`${url}/jobs`, { method: 'POST', headers, body: JSON.stringify(job) })
      await untilAnswered('/jobs/1', /"dead"/)
      const metrics = parseMetrics(await (await fetch(`${url}/metrics/prometheus`)).text())
      expect(sampleOf(metrics, 'jobmachine_log_lines_dropped_total')).toBeGreaterThanOrEqual(0)

      child.kill('SIGTERM')

      expect(await exited).toEqual({ code: 0, signal: null })
    },
  )

  test.each(shareOf<readonly Kind[]>({ share: [gone], whole: all }))(
    '%s ends with 1 after an uncaught error',
    async (kind) => {
      const output = badOutputs[kind]()
      if (!output) return
      const { child, exited } = await serveTo(output)

      child.kill('SIGUSR2')

      expect(await exited).toEqual({ code: 1, signal: null })
    },
  )
})

test.each(shareOf<readonly Kind[]>({ share: [full], whole: [full, onFullDisk] }))(
  'log lines for %s are written once when it can be written again',
  async (kind) => {
    const output = badOutputs[kind]()
    if (!output) return
    const { child, exited } = await serveTo(output)

    await vi.waitFor(() => expect(output.recover()).toContain('"listening"'), { timeout: patienceMs, interval: 20 })
    child.kill('SIGTERM')
    await exited

    const lines = output
      .recover()
      .split('\n')
      .filter((line) => line !== '')
    // The signal may arrive before the start ends, which then says so.
    const told = lines.map((line) => JSON.parse(line).msg).filter((message) => message !== 'not started')
    expect(told).toEqual(['listening', 'stopping', 'stopped'])
  },
)

test('excess log lines are dropped, and their number is reported once when there is a reader again', async () => {
  const { descriptor, recover } = stalledReader()
  const told: number[] = []
  const notBlocking = openSync(`/dev/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK)
  whenDone(() => closeSync(notBlocking))
  const output = new LogOutput(notBlocking, (dropped) => told.push(dropped))
  const line = (index: number) => `${`${index}`.padEnd(1_023, '.')}\n`

  for (let index = 0; index < 1_500; index++) output.write(line(index))
  const { dropped } = output
  await vi.waitFor(
    () => {
      recover()
      expect(told).toHaveLength(1)
    },
    { timeout: patienceMs, interval: 1 },
  )
  output.write('the end\n')

  expect(dropped).toBe(1_500 - 1_024)
  expect(told).toEqual([dropped])
  const lines = recover()
    .split('\n')
    .filter((line) => line !== '')
  expect(lines).toEqual([...Array.from({ length: 1_024 }, (_, index) => line(index).trimEnd()), 'the end'])
  expect(output.dropped).toBe(dropped)
})
