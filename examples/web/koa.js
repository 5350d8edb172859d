// node examples/web/koa.js, then http://127.0.0.1:3000/admin/jobs
import { createHttp } from 'jobmachine/http'
import Koa from 'koa'
import { startJobs } from './jobs.js'

const jobs = createHttp(await startJobs(process.argv[2]), { basePath: '/admin/jobs' })

const app = new Koa()
app.use((context, next) => {
  if (!/^\/admin\/jobs(\/|$)/.test(context.path)) return next()
  context.respond = false
  return jobs.requestListener(context.req, context.res)
})
app.use((context) => {
  context.body = 'the app itself'
})

const server = app.listen(Number(process.env.PORT ?? 3_000), () => console.log(`listening on ${server.address().port}`))
