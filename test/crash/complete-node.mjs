// Runs jobs whose handler writes one row in the transaction in which it completes the job, at several speeds. Arguments: the built code, the address, the schema.
const [, , dist, connectionString, schema] = process.argv
const { createJobSystem, defineHandler } = await import(`${dist}/index.js`)
const { default: pg } = await import('pg')
const { z } = await import('zod')

const pool = new pg.Pool({ connectionString, max: 4 })
pool.on('error', () => {})
pool.on('connect', (client) => client.on('error', () => {}))
const write = defineHandler({
  type: 'write',
  payload: z.number(),
  async run(ms, { jobId, complete }) {
    const client = await pool.connect()
    try {
      await client.query('BEGIN')
      await client.query(`INSERT INTO ${schema}_effects (job_id, pid) VALUES ($1, $2)`, [jobId, process.pid])
      await complete(client)
      await new Promise((resolve) => setTimeout(resolve, ms))
      await client.query('COMMIT')
      client.release()
    } catch (error) {
      client.release(true)
      throw error
    }
  },
})
const postgres = { connectionString, schema, maxConnections: 4 }
const system = await createJobSystem({ postgres, handlers: [write], workers: 4, leaseMs: 500, retryBaseMs: 1 })
await system.start()
console.log('started')
