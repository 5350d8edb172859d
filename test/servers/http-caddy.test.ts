import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { tempFolder } from '../support/temp.ts'
import { testThrough } from './proxied.ts'
import { describeWith, program, runServer } from './servers.ts'

const certificate = ['cert', 'key'].map((what) => resolve(`test/support/self-signed-${what}.pem`)).join(' ')

function caddy(directives: (upstream: number) => string, { isTls = false } = {}) {
  return async (port: number, upstream: number) => {
    const folder = tempFolder()
    const path = join(folder, 'Caddyfile')
    const address = `${isTls ? 'https' : 'http'}://jobs.lan:${port}`
    writeFileSync(
      path,
      `{
  admin off
  auto_https off
  default_sni jobs.lan
}
${address} {
  bind 127.0.0.1
  ${isTls ? `tls ${certificate}` : ''}
  ${directives(upstream)}
}
`,
    )
    const run = [program('caddy'), 'run', '--adapter', 'caddyfile', '--config', path]
    await runServer('/usr/bin/env', [`HOME=${folder}`, ...run], port)
  }
}

describeWith(['caddy'], 'Caddy', () => {
  testThrough('with nothing but reverse_proxy, over https', {
    isTls: true,
    refusedBy: 'ours',
    start: caddy((upstream) => `reverse_proxy 127.0.0.1:${upstream}`, { isTls: true }),
  })

  testThrough('under a path', {
    basePath: '/jobs-admin',
    refusedBy: 'ours',
    start: caddy((upstream) => `reverse_proxy /jobs-admin* 127.0.0.1:${upstream}`),
  })
})
