import { hostname } from 'node:os'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createHttp } from '../../../src/http/index.ts'
import { createJobSystem, defineHandler } from '../../../src/index.ts'
import { ManualClock } from '../../../src/runtime/clock.ts'
import { aDatabase, openPostgres, passLease } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { shareOfEachGroup } from '../../support/share.ts'
import { aJob, leaseMs, startAt } from '../../support/store.ts'
import { whenDone } from '../../support/temp.ts'
import { ids } from '../conformance/helpers.ts'

/** A node of a store, which runs `work`, and the system of another, which runs `other`, with one clock unless that has its own. */
async function twoNodes(own?: ManualClock) {
  const node = await openPostgres({ types: ['work'] })
  const postgres = { connectionString: await aDatabase(), schema: node.path, maxConnections: 3 }
  const handlers = [defineHandler({ type: 'other', payload: z.unknown(), run() {} })]
  const system = await createJobSystem({ postgres, handlers, clock: own ?? node.clock, leaseMs })
  whenDone(() => system.stop())
  await system.start()
  const [id] = ids(await node.store.enqueue([aJob()]))
  return { ...node, system, id: id! }
}

const holder = `process ${process.pid} on test, node 1`

shareOfEachGroup(3)

describe.skipIf(postgresMissing)('a node that is asked about a job of another', () => {
  test('says that another node has a handler for its type, and not that nobody runs it', async () => {
    const { system, id } = await twoNodes()

    const { obstacles, summary, advice } = await system.explain(id)

    expect(obstacles.map(({ code }) => code)).toEqual(['node_elsewhere'])
    expect(summary).toContain('his server has no handler for type "work", but another node that lives has one')
    expect(advice).toBe('Wait for the other node; its own page of the job knows more.')
  })

  test('names the node that runs it, and does not say that its handler has ended', async () => {
    const { system, store, id } = await twoNodes()
    await store.lease({ limit: 1, wait: false, start: true })

    const { summary, next, earliest } = await system.explain(id)

    expect(summary).toContain(`rocess ${process.pid} on test, node 1 runs it (it was heard of just now)`)
    expect(earliest).toBe('now: it is running')
    const succeed = next.find(({ event }) => event === 'succeed')
    expect(succeed).toMatchObject({
      possible: null,
      sentence: expect.stringContaining(`only ${holder}, which holds it`),
    })
    expect(next.find(({ event }) => event === 'cancel')).toMatchObject({ possible: true })
  })

  test('says how long that node has been silent, and when it is declared dead', async () => {
    const { system, store, clock, line, id } = await twoNodes()
    await store.lease({ limit: 1, wait: false, start: true })
    line.cut()
    clock.advance(20_000)

    const { summary, advice } = await system.explain(id)

    const at = new Date(clock.now() + leaseMs - 20_000).toISOString()
    expect(summary).toContain(
      `was heard of 20 s ago: if it stays silent, it is declared dead in 10 s, at ${at}, and the job then runs elsewhere`,
    )
    expect(advice).toBe('Wait: if the node that runs it stays silent, another one runs it again by itself.')
  })

  test('does not say that a suspect holds it up which runs alone on the other', async () => {
    const { system, store, path } = await twoNodes()
    await store.lease({ limit: 1, wait: false, start: true })
    const client = new pg.Client(await aDatabase())
    await client.connect()
    await client.query(`UPDATE ${path}.jobs SET crashes = 3`)
    await client.end()
    const [id] = ids(await store.enqueue([aJob()]))

    const { obstacles } = await system.explain(id!)

    expect(obstacles.map(({ code }) => code)).toEqual(['node_elsewhere'])
  })

  test('has a page of the nodes, which says who is silent until when, and who has ended', async () => {
    const { system, path, clock, line } = await twoNodes()
    const gone = await openPostgres({ path, clock })
    await gone.store.close()
    line.cut()
    clock.advance(leaseMs - 1_000)
    const http = createHttp(system, { basePath: '/admin' })

    const answer = await http.fetch(new Request('http://localhost/admin/dashboard/nodes'))
    const body = await answer.text()

    expect(answer.status).toBe(200)
    expect(body.replace(/<[^>]*>/g, '')).toContain('silent; declared dead in 1 s')
    expect(body.replace(/<[^>]*>/g, '')).toContain('ended 29 s ago')
    expect(body).toContain('href="/admin/dashboard/nodes"')
  })

  test('has a page of the nodes that says who was declared dead, and by whom', async () => {
    const { system, path, clock, line } = await twoNodes()
    line.cut()
    const other = await openPostgres({ path, clock })
    await passLease(clock, other.store)
    await other.store.recoverOrphans()
    const http = createHttp(system)

    const body = await (await http.fetch(new Request('http://localhost/dashboard/nodes'))).text()

    expect(body.replace(/<[^>]*>/g, '')).toMatch(/declared dead (just now|\d+ m?s ago) by node 3/)
  })

  test('has an overview that says what is of this node alone, if another lives', async () => {
    const { system, store } = await twoNodes()
    const http = createHttp(system)
    const overview = async () => {
      const body = await (await http.fetch(new Request('http://localhost/'))).text()
      return body.replace(/<[^>]*>/g, '').replace(/\s+/g, ' ')
    }

    const ofTwo = await overview()
    await store.close()
    expect(ofTwo).toContain(
      'executing on this node; 0 succeeded and 0 attempts failed on all nodes since this one started',
    )
    for (const part of ['The dispatcher', "The workers' slots", 'Time in queue', 'Execution', 'Workers'])
      expect(ofTwo.replaceAll('&#39;', "'")).toContain(`${part} of this node`)
    // One rendering answers all who ask at nearly the same time.
    await expect.poll(overview).toContain('0 succeeded and 0 attempts failed since the start')
    expect(await overview()).not.toContain('this node')
  })

  test('lists the nodes: who holds how many jobs, who was heard of when, and who did what for all', async () => {
    // The system does not see yet that the job is due, or it might be the one that makes it so.
    const own = new ManualClock(startAt)
    const { system, store, clock } = await twoNodes(own)
    await store.enqueue([aJob(), aJob({ delayMs: 10 })])
    await store.lease({ limit: 1, wait: false, start: true })
    await store.lease({ limit: 1, wait: false })
    clock.advance(10)
    await store.sweep()
    own.advance(10)

    const nodes = await system.nodes()

    expect(nodes).toMatchObject([
      { id: 2, host: hostname(), isOwn: true, serves: true, types: ['other'], held: 0, running: 0, endedAt: null },
      {
        id: 1,
        host: 'test',
        isOwn: false,
        held: 2,
        running: 1,
        heardAt: clock.now(),
        silentMs: 0,
        leaseMs,
        isStopping: false,
        duties: [{ duty: 'promotion', doneAt: clock.now() }],
      },
    ])
  })
})
