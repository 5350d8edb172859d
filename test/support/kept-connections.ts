import pg from 'pg'

/** What a session has set, given up; what the server has planned for the statements in it stays. */
const resetSql = 'RESET ALL; UNLISTEN *; CLOSE ALL; SELECT pg_advisory_unlock_all()'

/** What of the driver's client its types leave out. */
interface Internals {
  _ending: boolean
  readonly _ended: boolean
  readonly _connected: boolean
  readonly _queryable: boolean
  readonly _activeQuery: unknown
  readonly _queryQueue: readonly unknown[]
  readonly _txStatus: string | null
  readonly processID: number
  ref(): void
  unref(): void
}

const inside = (client: pg.Client) => client as unknown as Internals
const endOf = (client: pg.Client): Promise<void> => pg.Client.prototype.end.call(client, undefined as never) as never

const free = new Map<string, pg.Client[]>()

/** The server's processes of the connections that wait for the next store. */
export function waitingPids(): number[] {
  return [...free.values()].flat().map((client) => inside(client).processID)
}

/**
 * A connection that a store has ended, connected already, or one that is to be connected. Its `end` leaves it for the next store; `onEnd` is
 * called first.
 */
export function keptClient(config: pg.ClientConfig, onEnd: () => void): pg.Client {
  const key = JSON.stringify(config)
  const waiting = free.get(key) ?? []
  free.set(key, waiting)
  const client = nextOf(waiting) ?? new pg.Client(config)
  let ended: Promise<void> | undefined
  client.end = ((done?: () => void) => {
    onEnd()
    // A second call must not end what is left for the next store.
    ended ??= isAtRest(client) ? leave(client, waiting) : endOf(client)
    return done ? void ended.then(done) : ended
  }) as typeof client.end
  return client
}

function nextOf(waiting: pg.Client[]): pg.Client | null {
  let client = waiting.pop()
  while (client && !inside(client)._queryable) client = waiting.pop()
  if (!client) return null
  const connected = client
  inside(connected)._ending = false
  inside(connected).ref()
  connected.connect = ((done?: () => void) =>
    done ? void setImmediate(done) : Promise.resolve(connected)) as typeof connected.connect
  return connected
}

/** Neither at work, nor in a transaction, nor ended. */
function isAtRest(client: pg.Client): boolean {
  const { _ending, _ended, _queryable, _connected, _activeQuery, _queryQueue, _txStatus } = inside(client)
  return (
    _connected && _queryable && !_ending && !_ended && !_activeQuery && _queryQueue.length === 0 && _txStatus === 'I'
  )
}

async function leave(client: pg.Client, waiting: pg.Client[]): Promise<void> {
  const reset = client.query(resetSql)
  // It takes no more, as one that has ended.
  inside(client)._ending = true
  try {
    await reset
  } catch {
    return endOf(client)
  }
  client.emit('end')
  client.removeAllListeners()
  client.on('error', () => {})
  inside(client).unref()
  waiting.push(client)
}
