import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { tempFolder, whenDone } from './support/temp.ts'

const root = resolve(import.meta.dirname, '..')
const main = join(root, 'dist/main.js')

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  readonly folder?: string
}

/** `jobmachine` in a process of its own, in a folder of its own; killed when the test ends. */
class Run {
  readonly child: ChildProcess
  readonly folder: string
  readonly database: string
  stdout = ''
  stderr = ''
  readonly #ended: Promise<number | NodeJS.Signals>

  constructor({ env = {}, args = [], folder = tempFolder() }: RunOptions = {}) {
    this.folder = folder
    this.database = resolve(folder, env.DATABASE_PATH ?? 'data/jobs.db')
    this.child = spawn(process.execPath, [main, ...args], {
      cwd: folder,
      env: { PATH: process.env.PATH ?? '', PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout!.on('data', (chunk) => {
      this.stdout += chunk
    })
    this.child.stderr!.on('data', (chunk) => {
      this.stderr += chunk
    })
    this.#ended = once(this.child, 'close').then(([code, signal]) => code ?? signal)
    whenDone(() => this.kill('SIGKILL'))
  }

  /** Resolves with the exit code, or the signal that ended it. */
  async end(): Promise<number | NodeJS.Signals> {
    return this.#ended
  }

  async kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal)
    return this.end()
  }

  /** The lines of the log, parsed: one that is not JSON fails the test. */
  get log(): Record<string, unknown>[] {
    return this.stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))
  }

  get messages(): unknown[] {
    return this.log.map(({ msg }) => msg)
  }

  /** Resolves when a line with that message is in the log. */
  async logged(message: string): Promise<Record<string, unknown>> {
    for (;;) {
      const line = this.stdout.includes(`"msg":"${message}"`) && this.log.find(({ msg }) => msg === message)
      if (line) return line
      if (this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode}: ${this.stderr}`)
      await Promise.race([once(this.child.stdout!, 'data'), this.#ended])
    }
  }

  async url(): Promise<string> {
    return (await this.logged('listening')).url as string
  }

  /** Hands in a job that sleeps and resolves when it runs. */
  async running(ms: number): Promise<number> {
    const url = await this.url()
    const { id } = await post(url, { type: 'sleep', payload: { ms } })
    while ((await (await fetch(`${url}/jobs/${id}`)).json()).state !== 'running') await sleep(5)
    return id
  }
}

async function post(url: string, job: object) {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${url}/createJob`, { method: 'POST', headers, body: JSON.stringify(job) })
  return { status: response.status, ...(await response.json()) }
}

/** Row of a file that no server holds any more. */
function rowOf(database: string, id: number) {
  const db = new Database(database, { readonly: true })
  try {
    return db.prepare('SELECT state, attempt FROM jobs WHERE id = ?').get(id)
  } finally {
    db.close()
  }
}

describe('jobmachine', () => {
  test('serves where no command is given, and says where, and what an acknowledged job survives', async () => {
    const run = new Run()

    const line = await run.logged('listening')

    expect(line).toMatchObject({
      level: 30,
      pid: run.child.pid,
      durability: expect.stringContaining('synchronous=FULL'),
    })
    expect((await fetch(`${line.url}/livez`)).status).toBe(200)
    expect(existsSync(join(run.folder, 'data/jobs.db'))).toBe(true)
  })

  test.each([
    [['--help'], /^Usage: jobmachine/],
    [['-h'], /^Usage: jobmachine/],
    [['--version'], new RegExp(`^${JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version}\n$`)],
  ])('%s prints and touches nothing', async (args, text) => {
    const run = new Run({ args })

    expect(await run.end()).toBe(0)
    expect(run.stdout).toMatch(text)
    expect(existsSync(join(run.folder, 'data'))).toBe(false)
  })

  test.each([[['serv']], [['serve', 'twice']], [['constructor']]])('%s is no command', async (args) => {
    const run = new Run({ args })

    expect(await run.end()).toBe(64)
    expect(run.stderr).toContain(`no such command: ${args.join(' ')}`)
    expect(run.stderr).toContain('Usage: jobmachine')
    expect(run.stdout).toBe('')
  })
})

describe('configuration', () => {
  test('comes from .env in the working directory, over which the environment wins', async () => {
    const folder = tempFolder()
    writeFileSync(join(folder, '.env'), 'DATABASE_PATH=from-file.db\nMAX_REQUEST_BYTES=1024\nHOST=\n')
    const run = new Run({ folder, env: { DATABASE_PATH: 'from-environment.db' } })

    const answer = await post(await run.url(), { type: 'sleep', payload: { ms: 1 }, queue: 'x'.repeat(2_000) })

    expect(answer.status).toBe(413)
    expect(existsSync(join(folder, 'from-environment.db'))).toBe(true)
    expect(existsSync(join(folder, 'from-file.db'))).toBe(false)
  })

  test('that does not parse refuses to start, a line for each bad value, and repeats no secret', async () => {
    const run = new Run({ env: { PORT: 'http', WORKER_COUNT: '1001', API_TOKEN: 'too-short', LOG_LEVEL: 'loud' } })

    expect(await run.end()).toBe(78)
    const lines = run.stderr.trimEnd().split('\n')
    expect(lines.map((line) => /^jobmachine: ([A-Z_]+) is /.exec(line)?.[1]).sort()).toEqual([
      'API_TOKEN',
      'LOG_LEVEL',
      'PORT',
      'WORKER_COUNT',
    ])
    expect(run.stderr).toContain('"1001"; it takes a whole number from 1 to 1000')
    expect(run.stderr).not.toContain('too-short')
    expect(run.stdout).toBe('')
    expect(existsSync(join(run.folder, 'data'))).toBe(false)
  })

  test('that lets others in without a token refuses to start', async () => {
    const run = new Run({ env: { HOST: '0.0.0.0' } })

    expect(await run.end()).toBe(78)
    expect(run.stderr).toMatch(/^jobmachine: HOST is .* API_TOKEN .*\n$/)
  })

  test('that cannot be read refuses to start', async () => {
    const folder = tempFolder()
    mkdirSync(join(folder, '.env'))
    const run = new Run({ folder })

    expect(await run.end()).toBe(78)
    expect(run.stderr).toMatch(/^jobmachine: \.env cannot be read: .*\n$/)
  })
})

describe('a start that cannot be', () => {
  /** A port that someone else listens on. */
  async function takenPort(): Promise<string> {
    const other = createServer().listen(0, '127.0.0.1')
    whenDone(() => other.close())
    await once(other, 'listening')
    return `${(other.address() as AddressInfo).port}`
  }

  test('ends with 75 and the pid of the server that holds the database, also where its port is taken', async () => {
    const first = new Run()
    const taken = new URL(await first.url()).port

    for (const PORT of ['0', taken]) {
      const second = new Run({ env: { DATABASE_PATH: first.database, PORT } })
      expect(await second.end()).toBe(75)
      expect(second.stderr).toMatch(new RegExp(`^jobmachine: .* process ${first.child.pid} .*\n$`))
    }
    expect(await first.kill('SIGTERM')).toBe(0)
  })

  test('ends with 1 and a line where the port is taken, and leaves the database to the next', async () => {
    const PORT = await takenPort()
    const run = new Run({ env: { PORT } })

    expect(await run.end()).toBe(1)
    expect(run.stderr).toMatch(new RegExp(`^jobmachine: cannot listen on 127.0.0.1 port ${PORT}: .*\n$`))

    const next = new Run({ env: { DATABASE_PATH: run.database } })
    await next.url()
  })

  test.each([
    ['is no database', (path: string) => writeFileSync(path, 'not a database, but a text\n'.repeat(1_000))],
    [
      'belongs to another program',
      (path: string) => {
        const db = new Database(path)
        db.exec('CREATE TABLE mine (n)')
        db.close()
      },
    ],
  ])('ends with 1 and a line where the file %s', async (_what, write) => {
    const folder = tempFolder()
    write(join(folder, 'jobs.db'))
    const before = readFileSync(join(folder, 'jobs.db'))
    const run = new Run({ folder, env: { DATABASE_PATH: 'jobs.db' } })

    expect(await run.end()).toBe(1)
    expect(run.stderr).toMatch(/^jobmachine: .*jobs\.db.*\n$/)
    expect(readFileSync(join(folder, 'jobs.db'))).toEqual(before)
  })

  test('ends with 1 and a line where the file is newer than the program', async () => {
    const old = new Run()
    await old.url()
    await old.kill('SIGTERM')
    const db = new Database(old.database)
    db.pragma('user_version = 9999')
    db.close()

    const run = new Run({ folder: old.folder })

    expect(await run.end()).toBe(1)
    expect(run.stderr).toMatch(/^jobmachine: .* schema version 9999, .*\n$/)
  })

  test('ends with 1 and a line where the folder cannot be made', async () => {
    const folder = tempFolder()
    writeFileSync(join(folder, 'file'), '')
    const run = new Run({ folder, env: { DATABASE_PATH: 'file/below/jobs.db' } })

    expect(await run.end()).toBe(1)
    expect(run.stderr).toMatch(/^jobmachine: .*file\/below\/jobs\.db.*\n$/)
  })
})

describe('a signal', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s lets running jobs finish and ends with 0', async (signal) => {
    const run = new Run()
    const id = await run.running(300)

    expect(await run.kill(signal)).toBe(0)
    expect(run.log).toContainEqual(expect.objectContaining({ msg: 'stopping', reason: signal }))
    expect(run.messages.at(-1)).toBe('stopped')
    expect(rowOf(run.database, id)).toEqual({ state: 'succeeded', attempt: 1 })
  })

  test('is heard before it listens: from the moment that it has touched the database', async () => {
    const run = new Run()
    while (!existsSync(`${run.database}-lock`)) await sleep(1)

    expect(await run.kill('SIGTERM')).toBe(0)
    expect(run.messages).toContain('stopping')
  })

  test('that comes as soon as it says that it listens ends with 0', async () => {
    const run = new Run()
    run.child.stdout!.once('data', () => run.child.kill('SIGTERM'))

    expect(await run.end()).toBe(0)
  })

  test('leaves reads answered and refuses writes while jobs finish', async () => {
    const run = new Run()
    const id = await run.running(60_000)
    const url = await run.url()

    run.child.kill('SIGTERM')
    await run.logged('stopping')

    expect((await fetch(`${url}/jobs/${id}`)).status).toBe(200)
    expect((await fetch(`${url}/livez`)).status).toBe(200)
    const ready = await fetch(`${url}/readyz`)
    expect([ready.status, (await ready.json()).reason]).toEqual([503, 'draining'])
    expect(await post(url, { type: 'sleep', payload: { ms: 1 } })).toMatchObject({ status: 503, code: 'unavailable' })
  })

  test('ends with 0 also where the grace ends, and the attempt is given back', async () => {
    const run = new Run({ env: { SHUTDOWN_GRACE_MS: '50' } })
    const id = await run.running(60_000)

    expect(await run.kill('SIGTERM')).toBe(0)
    expect(rowOf(run.database, id)).toEqual({ state: 'queued', attempt: 0 })
  })

  test('counts once where it comes twice at once, as Ctrl-C under npm does', async () => {
    const run = new Run()
    const id = await run.running(500)

    run.child.kill('SIGINT')
    run.child.kill('SIGTERM')

    expect(await run.end()).toBe(0)
    expect(run.messages.filter((message) => message === 'stopping')).toHaveLength(1)
    expect(rowOf(run.database, id)).toEqual({ state: 'succeeded', attempt: 1 })
  })

  test('a second time ends it at once with 1, and the next start recovers', async () => {
    const run = new Run()
    const id = await run.running(60_000)
    run.child.kill('SIGTERM')
    await run.logged('stopping')
    await sleep(300)

    expect(await run.kill('SIGTERM')).toBe(1)

    const next = new Run({ folder: run.folder })
    const job = await (await fetch(`${await next.url()}/jobs/${id}`)).json()
    expect(job.attempt).toBeGreaterThanOrEqual(1)
    expect(job.state).not.toBe('succeeded')
  })

  test('is not held up by a client that keeps its connection or is in the middle of a request', async () => {
    const run = new Run()
    const port = Number(new URL(await run.url()).port)
    for (const text of ['', 'GET /livez HTTP/1.1\r\nHost: localhost\r\n']) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined)
      whenDone(() => socket.destroy())
      await once(socket, 'connect')
      socket.write(text)
    }

    const since = performance.now()
    expect(await run.kill('SIGTERM')).toBe(0)
    expect(performance.now() - since).toBeLessThan(5_000)
  })
})

describe('the log', () => {
  test('has no payload and no secret, whatever its level', async () => {
    const token = 'tok-0123456789-abcdefgh'
    const run = new Run({
      env: {
        LOG_LEVEL: 'trace',
        API_TOKEN: token,
        SMTP_HOST: '127.0.0.1',
        SMTP_PORT: '1',
        SMTP_USER: 'sender@example.com',
        SMTP_PASSWORD: 'hunter2-hunter2',
        WEBHOOK_SECRET: 'webhook-secret-text',
      },
    })
    const url = await run.url()
    const payload = { email: 'private@example.com', subject: 'confidential', message: 'between us' }
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
    const body = JSON.stringify({ type: 'email', payload, idempotency_key: 'key-of-mine', max_retries: 0 })
    expect((await fetch(`${url}/createJob`, { method: 'POST', headers, body })).status).toBe(201)

    await run.logged('attempt failed')
    await run.kill('SIGTERM')

    const secrets = [token, 'hunter2', 'webhook-secret', ...Object.values(payload), 'key-of-mine']
    expect(secrets.filter((text) => run.stdout.includes(text) || run.stderr.includes(text))).toEqual([])
  })

  test('whose reader has gone does not end the server', async () => {
    const run = new Run()
    const url = await run.url()
    run.child.stdout!.destroy()

    const { id } = await post(url, {
      type: 'email',
      payload: { email: 'a@example.com', subject: 's', message: 'm' },
      max_retries: 0,
    })
    while ((await (await fetch(`${url}/jobs/${id}`)).json()).state !== 'dead') await sleep(5)

    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    expect(await run.kill('SIGTERM')).toBe(0)
  })
})
