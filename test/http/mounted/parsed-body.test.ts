import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { briefly, built } from '../../support/built.ts'
import { tempFolder } from '../../support/temp.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../../..')

// In a process of its own: in vitest's, a request that was read closes later than in an app.
test('a job is created from a body that Express has parsed, also if who asks is looked up', async () => {
  const folder = tempFolder()
  const script = join(folder, 'app.mjs')
  writeFileSync(
    script,
    `import { createRequire } from 'node:module'
    import { createHttp } from '${pathToFileURL(built('http/index.js'))}'
    import { createJobSystem } from '${pathToFileURL(built('index.js'))}'
    import { sleep } from '${pathToFileURL(built('handlers/sleep.js'))}'
    const express = createRequire('${join(root, 'package.json')}')('express')
    const system = await createJobSystem({ database: '${join(folder, 'jobs.db')}', handlers: [sleep()] })
    await system.start()
    for (const authorize of [undefined, async () => ({ actor: 'ada', role: 'admin' })]) {
      const jobs = createHttp(system, { basePath: '/admin/jobs', authorize })
      const app = express().use(express.json()).use('/admin/jobs', jobs.requestListener)
      const server = app.listen(0)
      await new Promise((resolve) => server.once('listening', resolve))
      const answer = await fetch('http://127.0.0.1:' + server.address().port + '/admin/jobs/createJob', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'sleep', payload: { ms: 1 } }),
        signal: AbortSignal.timeout(20_000),
      }).catch((error) => ({ status: String(error) }))
      console.log(answer.status)
      server.closeAllConnections()
      server.close()
    }
    await system.stop({ graceMs: 0 })`,
  )

  const { stdout } = await run(process.execPath, [...briefly, script])

  expect(stdout).toBe('201\n201\n')
})
