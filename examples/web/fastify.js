// node examples/web/fastify.js, then http://127.0.0.1:3000/admin/jobs
import Fastify from 'fastify'
import { createHttp } from 'jobmachine/http'
import { startJobs } from './jobs.js'

const jobs = createHttp(await startJobs(process.argv[2]), { basePath: '/admin/jobs' })

const app = Fastify()
app.get('/', () => 'the app itself')
for (const url of ['/admin/jobs', '/admin/jobs/*']) {
  app.all(url, {
    // Runs before Fastify parses a body, which it does only for JSON.
    onRequest(request, reply) {
      reply.hijack()
      return jobs.requestListener(request.raw, reply.raw)
    },
    handler() {},
  })
}

const address = await app.listen({ port: Number(process.env.PORT ?? 3_000) })
console.log(`listening on ${new URL(address).port}`)
