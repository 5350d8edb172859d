import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createJobSystem } from '../src/index.ts'
import { openKept } from '../src/persistence/sqlite/file/kept.ts'
import { lockForServer } from '../src/persistence/sqlite/file/lock.ts'
import { briefly, built } from './support/built.ts'
import { runCommand } from './support/cli.ts'
import { deferred } from './support/deferred.ts'
import { isWhole, shareOf } from './support/share.ts'
import { startSmtp } from './support/smtp.ts'
import { tempFolder, whenDone } from './support/temp.ts'

const root = resolve(import.meta.dirname, '..')
const main = built('main.js')
/** For what happens soon, on any machine. */
const patienceMs = 90_000

interface LaunchOptions {
  readonly env?: Record<string, string>
  readonly args?: readonly string[]
  readonly folder?: string
  /** Instead of the server by itself. */
  readonly command?: readonly [string, ...string[]]
}

/** A real process in its own folder, and its output; killed with its children when the test ends. */
function launch({
  env = {},
  args = [],
  folder = tempFolder(),
  command = [process.execPath, ...briefly, main, ...args],
}: LaunchOptions = {}) {
  const [program, ...programArgs] = command
  const child = spawn(program, programArgs, {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', HOME: folder, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const said = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => (said.stdout += chunk))
  child.stderr.on('data', (chunk) => (said.stderr += chunk))
  const closed = once(child, 'close').then(([code, signal]) => ({ code, signal, ...said }))
  whenDone(async () => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // It has ended.
    }
    await closed
  })
  const log = () =>
    said.stdout
      // The last line may be incomplete.
      .slice(0, said.stdout.lastIndexOf('\n') + 1)
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
  return {
    child,
    folder,
    said,
    closed,
    log,
    logged: (message: string) => vi.waitFor(() => entryOf(log(), message), { timeout: patienceMs, interval: 10 }),
  }
}

function entryOf(log: Record<string, unknown>[], message: string) {
  const entry = log.find(({ msg }) => msg === message)
  if (!entry) throw new Error(`no line says ${message}, only ${JSON.stringify(log)}`)
  return entry
}

/** A launched server that listens. */
async function serve(options: LaunchOptions = {}) {
  const server = launch(options)
  const { url, pid } = (await server.logged('listening')) as { url: string; pid: number }
  // biome-ignore lint/suspicious/noExplicitAny: what the server sends is what the test looks at
  const get = async (path: string): Promise<any> => (await fetch(url + path)).json()
  const post = async (path: string, body: unknown) => {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return { status: response.status, body: await response.json() }
  }
  const untilJob = (
    id: number,
    wanted: { readonly state: string; readonly attempt?: number; readonly crashes?: number },
  ) =>
    vi.waitFor(
      async () => {
        const job = await get(`/jobs/${id}`)
        expect(job).toMatchObject(wanted)
        return job
      },
      { timeout: patienceMs, interval: 10 },
    )
  const untilState = (id: number, state: string) => untilJob(id, { state })
  return { ...server, url, pid, get, post, untilJob, untilState }
}

/** The file as a server that ended has left it. */
function read<Row>(folder: string, sql: string): Row[] {
  const db = openKept(join(folder, 'data/jobs.db'), { readonly: true })
  const rows = db.prepare(sql).all() as Row[]
  db.close()
  return rows
}

const dayMs = 86_400_000
const aDay = { type: 'sleep', payload: { ms: dayMs } }
/** Longer than a test may take: a stop that waits for all of it fails the test. */
const noEnd = `${dayMs}`

/** A job that runs until the test ends it: a webhook that the test's own server answers only then. */
async function aHeldJob() {
  const answer = deferred()
  const remote = createHttpServer((_, response) => void answer.promise.then(() => response.end()))
  remote.listen(0, '127.0.0.1')
  await once(remote, 'listening')
  onTestFinished(() => void remote.closeAllConnections())
  onTestFinished(() => void remote.close())
  const { port } = remote.address() as AddressInfo
  return {
    job: { type: 'webhook', payload: { url: `http://127.0.0.1:${port}/` }, max_retries: 0 },
    env: { WEBHOOK_ALLOW_PRIVATE: 'true', SHUTDOWN_GRACE_MS: noEnd },
    end: () => answer.resolve(),
  }
}

describe('a start', () => {
  test('says where it listens and what an acknowledged job survives, and creates the data folder', async () => {
    const { url, folder, log, get } = await serve()

    const listening = entryOf(log(), 'listening')
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(listening.durability).toMatch(/power cut.*synchronous=FULL/)
    expect(existsSync(join(folder, 'data/jobs.db'))).toBe(true)
    expect(await get('/livez')).toEqual({ status: 'live' })
  })

  test('reads .env in its working directory, which the environment overrides', async () => {
    const folder = tempFolder()
    writeFileSync(
      join(folder, '.env'),
      'DATABASE_PATH=here/jobs of mine.db\nPORT=99999\nLOG_LEVEL=debug\nAPI_TOKEN="sixteen-letters!"\n',
    )

    const { url } = await serve({ folder })

    expect(existsSync(join(folder, 'here/jobs of mine.db'))).toBe(true)
    expect((await fetch(`${url}/jobs`)).status).toBe(401)
    expect((await fetch(`${url}/jobs`, { headers: { authorization: 'Bearer sixteen-letters!' } })).status).toBe(200)
  })

  test('with a bad configuration ends with 78 and a line for each bad value, and changes nothing', async () => {
    const folder = tempFolder()
    const env = { PORT: 'x', WORKER_COUNT: '0', API_TOKEN: 'short', HOST: '0.0.0.0' }

    const { code, stdout, stderr } = await runCommand([], { folder, env })

    expect([code, stdout]).toEqual([78, ''])
    expect(stderr.split('\n')).toEqual([
      'jobmachine: PORT is "x"; it must be a whole number from 0 to 65535',
      'jobmachine: WORKER_COUNT is "0"; it must be a whole number from 1 to 1000',
      'jobmachine: API_TOKEN is a value of 5 characters; it must be at least 16 characters, without spaces',
      'jobmachine: HOST is "0.0.0.0", which others can reach; that requires an API_TOKEN of at least 16 characters',
      '',
    ])
    expect(readdirSync(folder)).toEqual([])
  })

  test('on a file that another server serves ends with 75 and names its pid, also on its port: the file is checked first', async () => {
    const { pid, url, folder, get } = await serve()

    const onFreePort = await runCommand([], { folder, env: { PORT: '0' } })
    const onItsPort = await runCommand([], { folder, env: { PORT: new URL(url).port } })

    for (const { code, stderr } of [onFreePort, onItsPort]) {
      expect(code).toBe(75)
      expect(stderr).toMatch(new RegExp(`^jobmachine: .*jobs\\.db is served by process ${pid} on .*\n$`))
    }
    expect(await get('/readyz')).toEqual({ status: 'ready' })
  })

  test('with a .env that cannot be read ends with 78', async () => {
    const folder = tempFolder()
    mkdirSync(join(folder, '.env'))

    const { code, stderr } = await runCommand([], { folder })

    expect(code).toBe(78)
    expect(stderr).toMatch(/^jobmachine: \.env cannot be read: .*\n$/)
  })

  test('on a port in use ends with 1 and one line, and releases the file', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    onTestFinished(() => void other.close())
    const { port } = other.address() as { port: number }

    const folder = tempFolder()

    const { code, stderr } = await runCommand([], { folder, env: { PORT: `${port}` } })

    expect(code).toBe(1)
    expect(stderr).toBe(
      `jobmachine: cannot listen on 127.0.0.1 port ${port}: it is in use; set PORT to another, or 0 for a free one\n`,
    )
    lockForServer(join(folder, 'data/jobs.db')).release()
  })

  test.each([
    ['is no database', (file: string) => writeFileSync(file, 'hello '.repeat(1_000))],
    ['is of another program', (file: string) => openKept(file).exec('CREATE TABLE t (x)').close()],
    [
      'is newer than this program',
      (file: string) => {
        const db = openKept(file)
        db.pragma(`application_id = ${0x6a6f626d}`)
        db.pragma('user_version = 999')
        db.close()
      },
    ],
    ['is a folder', (file: string) => mkdirSync(file)],
  ])('on a file that %s ends with 1 and one plain line', async (_, make) => {
    const folder = tempFolder()
    make(join(folder, 'jobs.db'))

    const { code, stdout, stderr } = await runCommand([], { folder, env: { DATABASE_PATH: 'jobs.db', PORT: '0' } })

    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^jobmachine: .*jobs\.db.*\n$/)
    expect(stderr).not.toMatch(/ {4}at |node:/)
  })

  test('with a data folder that is a file ends with 1 and one plain line', async () => {
    const folder = tempFolder()
    writeFileSync(join(folder, 'data'), '')

    const { code, stderr } = await runCommand([], { folder })

    expect(code).toBe(1)
    expect(stderr).toMatch(/^jobmachine: .*data.*\n$/)
  })

  test.each(['serve', 'init', 'verify', 'backup', 'compact', 'migrate'])(
    '%s prints the usage for --help, and does not know a flag that is misspelt',
    async (name) => {
      const folder = tempFolder()

      const runs = [
        await runCommand([name, '--help'], { folder }),
        await runCommand([name, '-h'], { folder }),
        await runCommand([name, '--hlep'], { folder }),
      ]

      expect(runs.map(({ code }) => code)).toEqual([0, 0, 64])
      for (const { stdout } of runs.slice(0, 2)) expect(stdout).toMatch(/^Usage: jobmachine/)
      expect(runs[2]!.stderr).toBe(`jobmachine: ${name} does not accept these arguments: --hlep\n\n${runs[0]!.stdout}`)
      expect(readdirSync(folder)).toEqual([])
    },
  )

  test.each([
    [['explode'], 'no such command: explode'],
    [['verfy', 'jobs.db'], 'no such command: verfy; did you mean verify?'],
    [['help'], 'no such command: help; did you mean --help?'],
    [['serve', 'now'], 'serve does not accept these arguments: now'],
    [['verify', 'a.db', 'b.db'], 'verify does not accept these arguments: a.db b.db'],
    [['backup'], 'backup needs a TARGET: the file that becomes the copy'],
    [['--port', '1'], 'no such command: --port'],
    [[''], 'no such command: '],
    [['constructor'], 'no such command: constructor'],
  ])('with the arguments %j ends with 64, what is wrong and the usage', async (args, problem) => {
    const { code, stdout, stderr } = await runCommand(args)

    expect([code, stdout]).toEqual([64, ''])
    expect(stderr).toMatch(/\n\nUsage: jobmachine/)
    expect(stderr.split('\n')[0]).toBe(`jobmachine: ${problem}`)
  })

  test.each([[['serve', '--accept-loss']], [['serve', '--accept-loss=']], [['serve', '--accept-loss', '']]])(
    'with the arguments %j ends with 64, and says where the code comes from',
    async (args) => {
      const { code, stderr } = await runCommand(args)

      expect(code).toBe(64)
      expect(stderr).toBe(
        'jobmachine: --accept-loss needs a CODE: a start that finds jobs missing stops with an error, which names the code\n',
      )
    },
  )

  test('with --version or --help prints it, and ends with 0', async () => {
    const version = await runCommand(['--version'])
    const help = await runCommand(['--help'])

    expect([version.code, version.stdout]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)])
    expect([help.code, help.stdout]).toEqual([0, expect.stringMatching(/^Usage: jobmachine/)])
  })
})

describe('a signal', () => {
  test.each(shareOf<readonly NodeJS.Signals[]>({ share: ['SIGTERM'], whole: ['SIGTERM', 'SIGINT'] }))(
    '%s lets running jobs finish, allows reads, refuses writes, and ends with 0',
    async (signal) => {
      const { job, env, end } = await aHeldJob()
      const { child, closed, get, post, untilState, logged, folder } = await serve({ env })
      await post('/jobs', job)
      await untilState(1, 'running')

      child.kill(signal)
      await logged('stopping')
      expect(await get('/readyz')).toEqual({ status: 'not ready', reason: 'draining' })
      expect((await post('/jobs', aDay)).status).toBe(503)
      expect((await get('/jobs/1')).state).toBe('running')
      end()

      const { code, stdout, stderr } = await closed
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout).toMatch(/"msg":"stopped"/)
      expect(read(folder, 'SELECT state FROM jobs')).toEqual([{ state: 'succeeded' }])
    },
  )

  test.runIf(isWhole)('during the start, once it has touched the database, ends with 0', async () => {
    const { child, closed, folder } = launch()
    const lock = join(folder, 'data/jobs.db-lock')
    await vi.waitFor(() => expect(existsSync(lock)).toBe(true), { timeout: patienceMs, interval: 1 })

    child.kill('SIGTERM')

    const { code, stdout } = await closed
    expect(code).toBe(0)
    expect(stdout).toMatch(/"msg":"stopping"/)
  })

  test.runIf(isWhole)('as soon as it says that it listens ends with 0', async () => {
    const { child, closed } = launch()

    child.stdout.once('data', () => child.kill('SIGTERM'))

    expect((await closed).code).toBe(0)
  })

  test.runIf(isWhole)('twice within 250 ms counts once, as Ctrl-C under npm arrives', async () => {
    const { job, env, end } = await aHeldJob()
    const { child, closed, post, untilState, logged, folder } = await serve({ env })
    await post('/jobs', job)
    await untilState(1, 'running')

    // It meets all of them at one instant, however long they take to send.
    child.kill('SIGSTOP')
    child.kill('SIGINT')
    child.kill('SIGINT')
    child.kill('SIGTERM')
    child.kill('SIGCONT')
    await logged('stopping')
    end()

    expect((await closed).code).toBe(0)
    expect(read(folder, 'SELECT state FROM jobs')).toEqual([{ state: 'succeeded' }])
  })

  test('a second time after that ends with 1 at once', async () => {
    const { child, closed, post, untilState, logged } = await serve({ env: { SHUTDOWN_GRACE_MS: noEnd } })
    await post('/jobs', aDay)
    await untilState(1, 'running')

    child.kill('SIGTERM')
    await logged('stopping')
    await new Promise((resolve) => setTimeout(resolve, 300))
    child.kill('SIGTERM')

    const { code, stdout } = await closed
    expect(code).toBe(1)
    expect(stdout).not.toMatch(/"msg":"stopped"/)
  })

  test('whose grace ends gives the job back with its attempt, and ends with 0', async () => {
    const { child, closed, post, untilState, folder } = await serve({ env: { SHUTDOWN_GRACE_MS: '50' } })
    await post('/jobs', aDay)
    await untilState(1, 'running')

    child.kill('SIGTERM')

    expect((await closed).code).toBe(0)
    expect(read(folder, 'SELECT state, attempt FROM jobs')).toEqual([{ state: 'queued', attempt: 0 }])
    expect(read(folder, 'SELECT event, to_state FROM job_events ORDER BY id DESC LIMIT 1')).toEqual([
      { event: 'release', to_state: 'queued' },
    ])
  })

  test.runIf(isWhole)('waits neither for idle connections nor for a client in the middle of a request', async () => {
    const { child, closed, url } = await serve({ env: { SHUTDOWN_GRACE_MS: noEnd } })
    const { headers } = await fetch(`${url}/livez`)
    // Longer than a test may take.
    expect(headers.get('keep-alive')).toBe('timeout=125')
    const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined)
    onTestFinished(() => void socket.destroy())
    await once(socket, 'connect')
    socket.write(
      'POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
    )
    await vi.waitFor(() => expect(socket.bytesWritten).toBeGreaterThan(0), patienceMs)

    child.kill('SIGTERM')

    expect((await closed).code).toBe(0)
  })

  test.runIf(isWhole)('to npm start reaches the server', async () => {
    const folder = tempFolder()
    for (const name of ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'src', 'dist', 'node_modules']) {
      symlinkSync(join(root, name), join(folder, name))
    }
    const { child, closed, pid } = await serve({ folder, command: ['npm', 'start', '--ignore-scripts'] })
    expect(pid).not.toBe(child.pid)

    child.kill('SIGTERM')

    const { stdout } = await closed
    expect(stdout).toMatch(/"msg":"stopped"/)
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })
})

test('an unhandled rejection that a handler left behind ends the process cleanly, with 1', async () => {
  // Nothing in the package leaves anything behind, so a signal has to.
  const stray = `process.on('SIGUSR2', () => Promise.reject(new Error('left behind')))`
  const { job, env, end } = await aHeldJob()
  const { child, closed, post, untilState, logged, folder } = await serve({
    env: { ...env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(stray)}` },
  })
  await post('/jobs', job)
  await untilState(1, 'running')

  child.kill('SIGUSR2')
  await logged('unhandled promise rejection; stopping')
  end()

  const { code, stdout } = await closed
  expect(code).toBe(1)
  expect(stdout).toMatch(/"level":60.*left behind.*unhandled promise rejection/)
  expect(read(folder, 'SELECT state FROM jobs')).toEqual([{ state: 'succeeded' }])
})

test('after kill -9 the next server starts at once, and runs the interrupted jobs again', async () => {
  // No lease ends by itself before the test does.
  const env = { LEASE_MS: noEnd }
  const first = await serve({ env })
  await first.post('/jobs', { ...aDay, idempotency_key: 'k' })
  await first.post('/jobs', { type: 'sleep', payload: { ms: 1 }, delay_ms: 1 })
  await first.untilState(1, 'running')
  await first.untilState(2, 'succeeded')
  first.child.kill('SIGKILL')
  await first.closed

  const second = await serve({ env, folder: first.folder })

  // It listens before it recovers, so that its health can be read: until then the file shows what ran when the first was killed.
  await second.untilJob(1, { state: 'running', attempt: 1, crashes: 1 })
  expect((await second.post('/jobs', { ...aDay, idempotency_key: 'k' })).body).toMatchObject({ id: 1, created: false })
  const { history } = await second.get('/jobs/1/history')
  expect(history.map(({ event }: { event: string }) => event)).toEqual([
    'enqueue',
    'lease',
    'start',
    'expire',
    'due',
    'lease',
    'start',
  ])
})

test('the log has no payload, no key and no secret, whatever its level', async () => {
  const secrets = {
    API_TOKEN: 'token-of-the-operator',
    SMTP_PASSWORD: 'password-of-the-mailbox',
    WEBHOOK_SECRET: 'secret-of-the-webhook',
  }
  const { url, said, logged } = await serve({
    env: { LOG_LEVEL: 'trace', SMTP_HOST: '127.0.0.1', SMTP_PORT: '1', SMTP_USER: 'sender@example.com', ...secrets },
  })
  const payload = { email: 'somebody@example.com', subject: 'confidential', message: 'between the two of us' }

  const answer = await fetch(`${url}/createJob?note=private-note`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${secrets.API_TOKEN}` },
    body: JSON.stringify({ type: 'email', payload, idempotency_key: 'key-of-the-caller', max_retries: 0 }),
  })
  expect(answer.status).toBe(201)
  await logged('attempt failed')

  const told = [...Object.values(secrets), ...Object.values(payload), 'key-of-the-caller', 'private-note']
  expect(told.filter((text) => (said.stdout + said.stderr).includes(text))).toEqual([])
})

test.runIf(isWhole)(
  'a server whose log is no longer read continues, and starts a job that a producer adds to its file',
  async () => {
    const { child, url, folder, post, untilState } = await serve()

    child.stdout.destroy()
    await post('/jobs', { type: 'webhook', payload: { url: 'http://127.0.0.1:1/' } })
    await untilState(1, 'dead')

    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    const producer = await createJobSystem({ database: join(folder, 'data/jobs.db') })
    whenDone(() => producer.stop())

    const { id } = await producer.enqueue({ type: 'sleep', payload: { ms: 1 } })

    expect((await untilState(id, 'succeeded')).attempt).toBe(1)
  },
)

describe('an email', () => {
  const welcome = {
    type: 'email',
    payload: { email: 'user@example.com', subject: 'Welcome', message: 'Hello' },
    max_retries: 3,
    idempotency_key: 'welcome-New-user-123',
  }

  test('is sent signed in over TLS', async () => {
    const { port, mails } = await startSmtp()
    const { post, get, untilState, folder, said } = await serve({
      env: {
        SMTP_HOST: '127.0.0.1',
        SMTP_PORT: `${port}`,
        GMAIL_USER: 'someone@example.com',
        GMAIL_APP_PASSWORD: 'secret',
      },
    })

    const { status, body } = await post('/createJob', welcome)

    expect([status, body]).toEqual([201, { id: 1, state: 'queued', created: true, message: 'job 1 is stored' }])
    await untilState(1, 'succeeded')
    const [{ value: databaseId }] = read<{ value: string }>(
      folder,
      "SELECT value FROM meta WHERE name = 'database_id'",
    ) as [{ value: string }]
    expect(mails).toHaveLength(1)
    expect(mails[0]).toMatchObject({
      user: 'someone@example.com',
      overTls: true,
      from: 'someone@example.com',
      to: ['user@example.com'],
    })
    expect(mails[0]!.headers).toMatch(/^Subject: Welcome\r?$/m)
    expect(mails[0]!.headers).toMatch(/^To: user@example.com\r?$/m)
    expect(mails[0]!.headers).toContain(`Message-ID: <${databaseId}.1@example.com>`)
    expect(mails[0]!.body.trim()).toBe('Hello')
    const { history } = await get('/jobs/1/history')
    expect(history.map(({ event, to }: { event: string; to: string }) => [event, to])).toEqual([
      ['enqueue', 'queued'],
      ['lease', 'leased'],
      ['start', 'running'],
      ['succeed', 'succeeded'],
    ])
    expect(await get('/metrics')).toMatchObject({
      success_count: 1,
      failure_count: 0,
      retry_count: 0,
      dead_letter_count: 0,
      active_workers: 0,
      queue_depth: 0,
    })
    expect((await post('/createJob', welcome)).status).toBe(200)
    expect(mails).toHaveLength(1)
    expect(said.stdout).not.toMatch(/secret|Hello|user@example/)
  })

  test.runIf(isWhole)('without settings fails and names them, and a job beside it succeeds', async () => {
    const { post, untilState } = await serve()

    await post('/jobs', [
      { ...welcome, max_retries: 0 },
      { type: 'sleep', payload: { ms: 1 } },
    ])

    await untilState(2, 'succeeded')
    const { error, attempt } = await untilState(1, 'dead')
    expect(attempt).toBe(1)
    expect(error.message).toContain('SMTP_HOST')
    expect(error.message).toMatch(/SMTP_FROM|SMTP_USER|GMAIL_USER/)
  })
})
