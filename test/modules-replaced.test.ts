import { renameSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { patchedBuild } from './support/patched-build.ts'
import { startServer } from './support/server-process.ts'
import { isWhole } from './support/share.ts'
import { startSmtp } from './support/smtp.ts'
import { memoryFolder, tempFolder, whenDone } from './support/temp.ts'

/** Some server to call; its port. */
async function startReceiver(): Promise<number> {
  const server = createServer((_request, response) => response.end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  whenDone(() => void server.close())
  return (server.address() as AddressInfo).port
}

test.runIf(isWhole)(
  'an update that temporarily removes the package’s files stops no mail or webhook, and the rest recovers',
  async () => {
    const { port, mails } = await startSmtp()
    // Not below /tmp, where someone may have a node_modules of their own, which Node would look into next.
    const package_ = memoryFolder()
    const main = join(patchedBuild(package_, []), 'main.js')
    const smtp = {
      SMTP_HOST: '127.0.0.1',
      SMTP_PORT: `${port}`,
      SMTP_USER: 'someone@example.com',
      SMTP_PASSWORD: 'secret',
    }
    const { url } = await startServer({ ...smtp, WEBHOOK_ALLOW_PRIVATE: 'true' }, tempFolder(), main)
    const status = async (path: string) => (await fetch(`${url}${path}`)).status
    const run = async (type: string, payload: object) => {
      const body = JSON.stringify({ type, payload, max_retries: 0 })
      const answer = await fetch(`${url}/createJob`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
      const { id } = (await answer.json()) as { id: number }
      return vi.waitFor(
        async () => {
          const job = (await (await fetch(`${url}/jobs/${id}`)).json()) as { state: string; finished_at: string | null }
          expect(job.finished_at).not.toBeNull()
          return job.state
        },
        { timeout: 90_000 },
      )
    }
    const folders = [join(package_, 'node_modules'), join(package_, 'dist/http/dashboard/browser')]

    for (const folder of folders) renameSync(folder, `${folder}.gone`)

    expect(await run('email', { email: 'reader@example.org', subject: 'Hello', message: 'there' })).toBe('succeeded')
    expect(await run('webhook', { url: `http://127.0.0.1:${await startReceiver()}/` })).toBe('succeeded')
    expect(mails).toHaveLength(1)
    const loadedLate = ['/metrics/prometheus', '/assets/style.css', '/machine.svg']
    for (const path of loadedLate) expect([path, await status(path)]).toEqual([path, 500])

    for (const folder of folders) renameSync(`${folder}.gone`, folder)

    for (const path of loadedLate) expect([path, await status(path)]).toEqual([path, 200])
  },
)
