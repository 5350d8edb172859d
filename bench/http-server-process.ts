import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { Engine } from './engine.ts'
import type { ServerKind } from './http-load.ts'
import { serveSystem } from './http-server.ts'
import { workers } from './load.ts'

/** Each returns the URL of what it serves until the process ends. */
const servers: Record<ServerKind, (folder: string) => Promise<string>> = {
  async engine(folder) {
    const { system } = await Engine.open(folder, { workers })
    return (await serveSystem(system)).url
  },

  bare() {
    const app = new Hono()
    let id = 100_000
    const stored = () => ({ id: ++id, state: 'queued', created: true, message: `job ${id} is stored` })
    app.post('/createJob', async (c) => {
      await c.req.json()
      return c.json(stored(), 201)
    })
    app.post('/jobs', async (c) => c.json((await c.req.json<unknown[]>()).map(stored), 201))
    return new Promise((resolve) => {
      serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => resolve(`http://127.0.0.1:${port}`))
    })
  },
}

const [kind, folder] = process.argv.slice(2) as [ServerKind, string]
process.once('disconnect', () => process.exit())
process.send!(await servers[kind](folder))
