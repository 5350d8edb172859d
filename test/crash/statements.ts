import pg from 'pg'
import type { EnqueueResult, LeasedJob, LeaseEvent, Store } from '../../src/persistence/store.ts'
import { aDatabase, aSchema, openPostgres } from '../support/postgres.ts'
import { type Cut, postgresProxy } from '../support/postgres-proxy.ts'
import { aJob, leaseMs } from '../support/store.ts'

/** What is there before a call, and what the call is made with. */
interface Before {
  readonly opened: Awaited<ReturnType<typeof openPostgres>>
  readonly queued: number
  readonly held: readonly LeasedJob[]
}

/** A call, and the events that it adds to the histories, whatever happens to its connections. */
interface Call {
  readonly name: string
  act(before: Before): Promise<unknown>
  readonly adds: readonly string[]
}

const later = 60_000
const ids = (result: EnqueueResult) => (result.outcome === 'stored' ? result.jobs.map(({ id }) => id) : [])
const on = ({ id, leaseToken }: LeasedJob, event: LeaseEvent['event'], more: Partial<LeaseEvent> = {}): LeaseEvent => ({
  id,
  leaseToken,
  event,
  ...more,
})

/** Every call of a store that asks the database anything. */
export const calls: readonly Call[] = [
  { name: 'enqueue', act: ({ opened }) => opened.store.enqueue([aJob(), aJob()]), adds: ['enqueue', 'enqueue'] },
  {
    name: 'enqueue with a key',
    act: ({ opened }) => opened.store.enqueue([aJob({ idempotency: { key: 'new', content: 'c' } })]),
    adds: ['enqueue'],
  },
  {
    name: 'enqueue with a key that is known',
    act: ({ opened }) => opened.store.enqueue([aJob({ idempotency: { key: 'known', content: 'c' } })]),
    adds: [],
  },
  { name: 'lease', act: ({ opened }) => opened.store.lease({ limit: 1, wait: false }), adds: ['lease'] },
  {
    name: 'lease and start',
    act: ({ opened }) => opened.store.lease({ limit: 1, wait: false, start: true }),
    adds: ['lease', 'start'],
  },
  {
    name: 'apply',
    act: ({ opened, held }) =>
      opened.store.apply([
        on(held[0]!, 'succeed'),
        on(held[1]!, 'fail', { delayMs: later, error: { name: 'Error', message: 'm' } as never }),
        on(held[2]!, 'snooze', { delayMs: later }),
      ]),
    adds: ['fail', 'snooze', 'succeed'],
  },
  { name: 'cancel', act: ({ opened, queued }) => opened.store.send('cancel', queued), adds: ['cancel'] },
  {
    name: 'a command to many',
    act: ({ opened, held }) =>
      opened.store.command(
        'cancel',
        held.map(({ id }) => id),
      ),
    adds: ['cancel', 'cancel', 'cancel'],
  },
  {
    name: 'a sweep that finds a job due',
    act: ({ opened }) => {
      opened.clock.advance(leaseMs / 2)
      return opened.store.sweep()
    },
    adds: ['due'],
  },
  { name: 'abandon', act: ({ opened, held }) => opened.store.abandon(held), adds: [] },
  { name: 'recoverOrphans', act: ({ opened }) => opened.store.recoverOrphans(), adds: [] },
  { name: 'noteStop', act: ({ opened }) => opened.store.noteStop(), adds: [] },
  { name: 'find', act: ({ opened, queued }) => opened.store.find(queued), adds: [] },
  { name: 'list', act: ({ opened }) => opened.store.list({ limit: 10, state: 'queued' }), adds: [] },
  { name: 'history', act: ({ opened, queued }) => opened.store.history(queued, { after: 0, limit: 9 }), adds: [] },
  { name: 'pathOf', act: ({ opened, queued }) => opened.store.pathOf(queued, 9), adds: [] },
  { name: 'transitions', act: ({ opened }) => opened.store.transitions({ after: 0, limit: 100 }), adds: [] },
  { name: 'counts', act: ({ opened }) => opened.store.counts(), adds: [] },
  { name: 'jobFacts', act: ({ opened, queued }) => opened.store.jobFacts(queued), adds: [] },
  { name: 'census', act: ({ opened }) => opened.store.census(), adds: [] },
  { name: 'fileSizes', act: ({ opened }) => opened.store.fileSizes(), adds: [] },
  { name: 'verify', act: ({ opened }) => opened.store.verify(), adds: [] },
]

/** A store on a server that can be cut off, and the server as it is. */
async function aServer() {
  const address = new URL((await aDatabase()).replace('postgres://postgres@/', 'postgres://postgres@localhost/'))
  const admin = new pg.Client(await aDatabase())
  await admin.connect()
  const terminate = async (pid: number) => {
    await admin.query('SELECT pg_terminate_backend($1, 5000)', [pid])
  }
  const proxy = await postgresProxy(address.searchParams.get('host')!, terminate)
  address.searchParams.set('host', proxy.host)
  const connectionString = address.toString().replace('@localhost/', '@/')
  return { proxy, connectionString, admin }
}

async function prepare(connectionString: string): Promise<Before> {
  const opened = await openPostgres({ connectionString })
  const { store, clock } = opened
  const [queued] = ids(await store.enqueue([aJob({ priority: -1, idempotency: { key: 'known', content: 'c' } })]))
  await store.enqueue([aJob({ runAt: clock.now() + leaseMs / 2 })])
  await store.enqueue([aJob({ priority: 9 }), aJob({ priority: 9 }), aJob({ priority: 9 })])
  const held = await store.lease({ limit: 3, wait: false, start: true })
  return { opened, queued: queued!, held }
}

async function eventsOf(store: Store): Promise<Map<number, string>> {
  const { transitions } = await store.transitions({ after: 0, limit: 1_000 })
  return new Map(transitions.map(({ id, event }) => [id, event]))
}

/**
 * Makes one call again and again, each time on a database of its own, and breaks the connection of its first statement, of its second, and so
 * on (`every` of them), until the call ends before. Returns what was wrong, and how many statements were hit.
 */
export async function walk(call: Call, cut: Cut, every: number): Promise<{ hits: number; wrong: string[] }> {
  const { proxy, connectionString, admin } = await aServer()
  const wrong: string[] = []
  let hits = 0
  for (let nth = 1; ; nth += every) {
    const before = await prepare(connectionString)
    const { store } = before.opened
    const known = await eventsOf(store)
    const tell = (what: string) => wrong.push(`${call.name}, ${cut} at statement ${nth}: ${what}`)
    proxy.arm(nth, cut)
    await call.act(before).catch((error) => tell(`rejected with ${error}`))
    const isOver = proxy.disarm()
    const added = [...(await eventsOf(store))].flatMap(([id, event]) => (known.has(id) ? [] : [event])).sort()
    if (added.join() !== call.adds.join()) tell(`it added ${added.join() || 'nothing'}`)
    for (const { message } of (await store.verify()).violations) tell(message)
    const ready = await store.enqueue([aJob()])
    if (ready.outcome !== 'stored') tell('nothing can be stored afterwards')
    for (const notice of before.opened.notices) if (notice.type === 'fatal') tell(String(notice.error))
    await store.close()
    if (isOver) break
    hits++
  }
  await proxy.settled()
  await admin.end()
  return { hits, wrong }
}

/** The same of opening a store, and of making its schema: whoever opens it next finds it whole. */
export async function walkOpening(cut: Cut, every: number): Promise<{ hits: number; wrong: string[] }> {
  const { proxy, connectionString, admin } = await aServer()
  const wrong: string[] = []
  let hits = 0
  for (let nth = 1; ; nth += every) {
    const path = aSchema()
    const tell = (what: string) => wrong.push(`opening, ${cut} at statement ${nth}: ${what}`)
    proxy.arm(nth, cut)
    await openPostgres({ connectionString, path }).then(
      ({ store }) => store.close(),
      (error) => error.code === 'unavailable' || tell(`rejected with ${error.code} ${error}`),
    )
    const isOver = proxy.disarm()
    const { store } = await openPostgres({ path })
    const stored = await store.enqueue([aJob()])
    if (stored.outcome !== 'stored') tell('nothing can be stored afterwards')
    for (const { message } of (await store.verify()).violations) tell(message)
    await store.close()
    if (isOver) break
    hits++
  }
  await proxy.settled()
  await admin.end()
  return { hits, wrong }
}
