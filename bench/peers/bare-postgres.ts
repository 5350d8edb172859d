import { Client } from 'pg'
import type { Peer, PeerOptions, Place } from './peer.ts'
import { urlOf } from './postgres.ts'
import { serverCpu } from './server-cpu.ts'

const connections = 2
/** Jobs of one call. */
const batch = 500

/**
 * The limit: the rows that jobmachine keeps, by statements written by hand. No lease, no node, no retry, no check by the database; each call
 * ends one batch and claims the next.
 */
export async function open({ port }: Place, { onRun }: PeerOptions): Promise<Peer> {
  const clients = Array.from({ length: connections }, () => new Client({ connectionString: urlOf(port) }))
  await Promise.all(clients.map((client) => client.connect()))
  const [client, ...others] = clients as [Client, ...Client[]]
  await client.query(schema)
  for (const each of clients) await each.query('SET enable_seqscan TO off; SET plan_cache_mode TO force_generic_plan')

  const work = async (own: Client) => {
    for (let ids: string[] = [], first = true; first || ids.length > 0; first = false) {
      const values = [`{${ids.join(',')}}`, batch]
      const { rows } = await own.query<[string, string]>({
        name: 'turn',
        text: turn,
        values,
        rowMode: 'array',
      } as never)
      const claimed = rows as unknown as [string, string][]
      ids = claimed.map(([id]) => id)
      for (const [, payload] of claimed) onRun((JSON.parse(payload) as { message: string }).message)
    }
  }
  const enqueueMany = async (messages: readonly string[]) => {
    const values = [messages.map((message) => JSON.stringify({ message }))]
    await client.query({ name: 'store', text: store, values })
  }
  return {
    enqueue: (message) => enqueueMany([message]),
    enqueueMany,
    async start() {
      for (const each of [client, ...others]) void work(each)
    },
    async left() {
      const { rows } = await client.query<{ n: string }>(`SELECT count(*) AS n FROM jobs WHERE state <> 'succeeded'`)
      return Number(rows[0]!.n)
    },
    serverCpu: () => serverCpu(client),
  }
}

const schema = `
  CREATE TABLE jobs (
    id bigserial PRIMARY KEY, run_at bigint NOT NULL, created_at bigint NOT NULL, started_at bigint, finished_at bigint, lease_token integer,
    seq integer NOT NULL, attempt integer NOT NULL, max_attempts integer NOT NULL, priority integer NOT NULL,
    state text COLLATE "C" NOT NULL, type text COLLATE "C" NOT NULL, queue text COLLATE "C" NOT NULL
  );
  CREATE INDEX jobs_ready ON jobs (queue, priority DESC, run_at, id) WHERE state = 'queued';
  CREATE TABLE job_payloads (job_id bigint PRIMARY KEY, payload text NOT NULL);
  CREATE TABLE job_events (
    id bigserial PRIMARY KEY, job_id bigint NOT NULL, at bigint NOT NULL, seq integer NOT NULL, attempt integer NOT NULL,
    event text COLLATE "C" NOT NULL, from_state text COLLATE "C", to_state text COLLATE "C" NOT NULL, UNIQUE (job_id, seq)
  )`

const now = 'floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint'

const store = `
  WITH item AS (SELECT nextval('jobs_id_seq') AS id, payload FROM unnest($1::text[]) AS given (payload)), stored AS (
    INSERT INTO jobs (id, run_at, created_at, seq, attempt, max_attempts, priority, state, type, queue)
    SELECT id, ${now}, ${now}, 1, 0, 4, 0, 'queued', 'noop', 'default' FROM item
  ), payloads AS (INSERT INTO job_payloads SELECT id, payload FROM item)
  INSERT INTO job_events (job_id, at, seq, attempt, event, to_state) SELECT id, ${now}, 1, 0, 'enqueue', 'queued' FROM item`

/** Ends those that were claimed before, and claims others. */
const turn = `
  WITH ended AS (
    UPDATE jobs SET state = 'succeeded', seq = seq + 1, finished_at = ${now}, lease_token = NULL
    WHERE id = ANY ($1::bigint[]) RETURNING id, seq, attempt
  ), head AS MATERIALIZED (
    SELECT id FROM jobs WHERE state = 'queued' AND queue = 'default' ORDER BY priority DESC, run_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
  ), claimed AS (
    UPDATE jobs SET state = 'running', seq = seq + 2, attempt = attempt + 1, started_at = ${now}, lease_token = seq + 1
    FROM head WHERE jobs.id = head.id RETURNING jobs.id, jobs.seq, jobs.attempt
  ), logged AS (
    INSERT INTO job_events (job_id, at, seq, attempt, event, from_state, to_state)
    SELECT id, ${now}, seq, attempt, 'succeed', 'running', 'succeeded' FROM ended
    UNION ALL SELECT id, ${now}, seq - 1, attempt - 1, 'lease', 'queued', 'leased' FROM claimed
    UNION ALL SELECT id, ${now}, seq, attempt, 'start', 'leased', 'running' FROM claimed
  )
  SELECT claimed.id, payload FROM claimed JOIN job_payloads ON job_id = claimed.id`
