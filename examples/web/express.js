// node examples/web/express.js, then http://127.0.0.1:3000/admin/jobs
import express from 'express'
import { createHttp } from 'jobmachine/http'
import { startJobs } from './jobs.js'

const jobs = createHttp(await startJobs(process.argv[2]), { basePath: '/admin/jobs' })

const app = express()
app.use('/admin/jobs', jobs.requestListener)
app.use(express.json())
app.get('/', (_, response) => response.send('the app itself'))

const server = app.listen(Number(process.env.PORT ?? 3_000), () => console.log(`listening on ${server.address().port}`))
