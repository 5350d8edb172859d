import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tempFolder } from '../support/temp.ts'
import { testThrough } from './proxied.ts'
import { describeWith, program, runServer } from './servers.ts'

const pem = ['cert', 'key'].map((what) => readFileSync(`test/support/self-signed-${what}.pem`, 'utf8')).join('')

function haproxy(options: string, { isTls = false } = {}) {
  return async (port: number, upstream: number) => {
    const folder = tempFolder()
    const path = join(folder, 'haproxy.cfg')
    writeFileSync(join(folder, 'both.pem'), pem)
    writeFileSync(
      path,
      `global
  log stderr format raw local0 err
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen jobs
  bind 127.0.0.1:${port}${isTls ? ` ssl crt ${folder}/both.pem` : ''}
${options}
  server one 127.0.0.1:${upstream}
`,
    )
    await runServer(program('haproxy'), ['-db', '-f', path], port)
  }
}

describeWith(['haproxy'], 'HAProxy', () => {
  testThrough('as documented, over https', {
    isTls: true,
    refusedBy: 'ours',
    start: haproxy('  option http-no-delay\n  http-request set-header X-Forwarded-Proto https', { isTls: true }),
  })

  testThrough('with nothing but its timeouts', { refusedBy: 'ours', start: haproxy('') })

  testThrough('under a path', {
    basePath: '/jobs-admin',
    refusedBy: 'ours',
    start: haproxy('  option http-no-delay'),
  })
})
