import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { createJobSystem } from '../../src/index.ts'
import { briefly, built } from '../support/built.ts'
import { openPostgres } from '../support/postgres.ts'
import { aStandby, ownServer, postgresMissing, standbyMissing } from '../support/postgres-server.ts'
import { isWhole, shareOf } from '../support/share.ts'
import { aJob } from '../support/store.ts'
import { until } from '../support/system.ts'
import { cleanUp, tempFolder, whenDone } from '../support/temp.ts'

/** A real server process; gives its address. */
async function serve(address: string, more: Readonly<Record<string, string>> = {}): Promise<string> {
  const env = { PATH: process.env.PATH ?? '', DATABASE_URL: address, PORT: '0', LEASE_MS: '2000', ...more }
  const server = spawn(process.execPath, [...briefly, built('main.js'), 'serve'], {
    env,
    cwd: tempFolder(),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  whenDone(async () => {
    server.kill('SIGKILL')
    if (server.exitCode === null) await once(server, 'exit')
  })
  for await (const line of createInterface({ input: server.stdout })) {
    const entry = JSON.parse(line)
    if (entry.msg !== 'listening') continue
    server.stdout.resume()
    return entry.url
  }
  throw new Error('the server has ended')
}

/** Posts jobs one after the other until it is told to end; writes down what it was answered. */
async function witness(url: string, lane: string, isOver: () => boolean, whenRefused = () => {}) {
  const seen = {
    stored: [] as { id: number; key: string }[],
    refused: [] as string[],
    other: [] as string[],
    waits: [] as (string | null)[],
  }
  for (let n = 0; !isOver(); n++) {
    const key = `${lane}-${n}`
    const response = await fetch(`${url}/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'sleep', payload: { ms: 1 }, idempotency_key: key }),
    })
    const body = (await response.json()) as { id: number; code?: string }
    if (response.ok) seen.stored.push({ id: body.id, key })
    else if (response.status === 503) {
      seen.refused.push(key)
      seen.waits.push(response.headers.get('retry-after'))
      whenRefused()
      await setTimeout(100)
    } else if (body.code !== 'outcome_unknown') seen.other.push(`${response.status} ${body.code}`)
  }
  return seen
}

const faketime = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'

/** Environments of a process whose clock shows what a file says, and what writes there. */
function aClock(offset: string) {
  const file = join(tempFolder(), 'clock')
  const set = (text: string) => writeFileSync(file, text)
  set(offset)
  const env = {
    LD_PRELOAD: faketime,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
  return { env, set }
}

afterAll(cleanUp)

// Side by side: most of the time they wait.
test
  .skipIf(!isWhole || postgresMissing !== null || !existsSync(faketime))
  .concurrent(
    'servers whose clocks are a day ahead and a day behind, and are set while they run, run jobs when they are due, and lose no lease',
    async () => {
      const server = ownServer()
      const [ahead, behind] = [aClock('+1d'), aClock('-1d')]
      const urls = [await serve(server.address, ahead.env), await serve(server.address, behind.env)]
      const system = await createJobSystem({ postgres: server.address })
      whenDone(() => system.stop())
      const begunAt = Date.now()
      const ids: number[] = []
      const post = async (url: string, ms: number, delayMs: number) => {
        const body = JSON.stringify({ type: 'sleep', payload: { ms }, delay_ms: delayMs })
        const response = await fetch(`${url}/jobs`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        })
        ids.push(((await response.json()) as { id: number }).id)
      }

      for (const url of urls) {
        await post(url, 1, 0)
        await post(url, 1, 1_500)
        // For longer than a lease.
        await post(url, 4_500, 0)
      }
      await setTimeout(500)
      ahead.set('-1d')
      behind.set('+1d')
      for (const url of urls) await post(url, 1, 500)

      for (const id of ids) await until(async () => (await system.find(id))?.state === 'succeeded')
      const endedAt = Date.now()
      for (const id of ids) {
        const job = (await system.find(id))!
        expect(job.attempt).toBe(1)
        expect(job.crashes).toBe(0)
        const history = (await system.history(id))!
        for (const { at } of history) {
          expect(at).toBeGreaterThanOrEqual(begunAt - 1_000)
          expect(at).toBeLessThanOrEqual(endedAt + 1_000)
        }
        expect(job.startedAt!).toBeGreaterThanOrEqual(job.runAt)
      }
      expect((await system.verify()).violations).toEqual([])
    },
  )

describe.skipIf(postgresMissing).concurrent('servers of jobs whose database', () => {
  test('stops at once and is started again refuse with 503 meanwhile, store nothing refused, lose nothing, and go on by themselves', async () => {
    const server = ownServer()
    const urls = [await serve(server.address), await serve(server.address)]
    let isOver = false
    let refusals = 0
    const isRefused = () => refusals++
    const lanes = urls.flatMap((url, at) =>
      ['a', 'b', 'c'].map((lane) => witness(url, `${at}${lane}`, () => isOver, isRefused)),
    )
    for (let stop = 0; stop < shareOf({ share: 1, whole: 6 }); stop++) {
      await setTimeout(500)
      const refusedBefore = refusals
      server.stop()
      await until(async () => {
        const answers = await Promise.all(urls.map((url) => fetch(`${url}/readyz`)))
        return answers.every(({ status }) => status === 503)
      })
      await until(() => refusals > refusedBefore)
      await setTimeout(shareOf({ share: 0, whole: 3_000 }))
      server.start()
      await until(async () => {
        const answers = await Promise.all(urls.map((url) => fetch(`${url}/readyz`)))
        return answers.every(({ status }) => status === 200)
      })
    }
    await setTimeout(300)
    isOver = true
    const seen = await Promise.all(lanes)

    expect(seen.flatMap(({ other }) => other)).toEqual([])
    for (const wait of seen.flatMap(({ waits }) => waits)) expect(Number(wait)).toBeGreaterThan(0)
    const system = await createJobSystem({ postgres: server.address })
    whenDone(() => system.stop())
    for (const { id } of seen.flatMap(({ stored }) => stored))
      await until(async () => (await system.find(id))?.state === 'succeeded')
    const kept = new Set<string>()
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await system.list({ limit: 500, ...(cursor === undefined ? {} : { cursor }) })
      for (const { idempotencyKey } of page.jobs) kept.add(idempotencyKey!)
      cursor = page.nextCursor
    }
    expect(seen.flatMap(({ refused }) => refused).filter((key) => kept.has(key))).toEqual([])
    expect((await system.verify()).violations).toEqual([])
  })

  test.skipIf(standbyMissing)('fails over to a standby go on there, if the address names both', async () => {
    const primary = ownServer(['wal_level=replica', 'max_wal_senders=4', 'synchronous_standby_names=*'])
    const standby = aStandby(primary)
    const hosts = [primary, standby].map(({ folder }) => encodeURIComponent(folder))
    const { store, notices, path } = await openPostgres({
      connectionString: `postgres://postgres@/postgres?host=${hosts.join(',')}`,
    })
    // The other order leads to the primary as well.
    const other = await openPostgres({
      connectionString: `postgres://postgres@/postgres?host=${[...hosts].reverse().join(',')}`,
      path,
    })
    const before = await store.enqueue([aJob()])
    const only = await openPostgres({ connectionString: standby.address }).catch((error) => error)

    primary.stop()
    const refusal = await store.enqueue([aJob()]).catch((error) => error)
    standby.promote()
    await until(() => notices.some((notice) => notice.type === 'health' && notice.error === null))

    expect(before).toMatchObject({ outcome: 'stored' })
    expect(only).toMatchObject({ code: 'database_unusable', message: expect.stringContaining('name the primary') })
    expect(['unavailable', 'outcome_unknown']).toContain(refusal.code)
    expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
    expect(await other.store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
    expect(await store.verify()).toMatchObject({ violations: [] })
  })
})
