// node examples/web/hono.js, then http://127.0.0.1:3000/admin/jobs
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { createHttp } from 'jobmachine/http'
import { startJobs } from './jobs.js'

const jobs = createHttp(await startJobs(process.argv[2]), { basePath: '/admin/jobs' })

const app = new Hono()
app.get('/', (c) => c.text('the app itself'))
app.mount('/admin/jobs', jobs.fetch)

serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3_000) }, ({ port }) => console.log(`listening on ${port}`))
