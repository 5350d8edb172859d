import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { tempFolder } from '../support/temp.ts'
import { testThrough } from './proxied.ts'
import { describeWith, folderOf, program, runServer } from './servers.ts'

const certificate = ['cert', 'key'].map((what) => resolve(`test/support/self-signed-${what}.pem`))
const modules = ['mpm_event', 'proxy', 'proxy_http', 'headers', 'ssl', 'authz_core', 'socache_shmcb']

function apache(directives: (upstream: number) => string, { isTls = false } = {}) {
  return async (port: number, upstream: number) => {
    const folder = tempFolder()
    const path = join(folder, 'apache.conf')
    const installed = folderOf('usr/lib/apache2/modules')
    const load = modules.map((name) => `LoadModule ${name}_module ${installed}/mod_${name}.so`)
    const tls = `SSLEngine on\nSSLCertificateFile ${certificate[0]}\nSSLCertificateKeyFile ${certificate[1]}`
    writeFileSync(
      path,
      `ServerRoot ${folder}
${load.join('\n')}
ServerName jobs.lan
PidFile ${folder}/pid
DefaultRuntimeDir ${folder}
Mutex file:${folder}
ErrorLog ${folder}/log
${process.getuid?.() === 0 ? 'User nobody\nGroup nogroup' : ''}
Listen 127.0.0.1:${port}
<VirtualHost 127.0.0.1:${port}>
${isTls ? tls : ''}
${directives(upstream)}
</VirtualHost>
`,
    )
    await runServer(program('apache'), ['-DFOREGROUND', '-f', path], port)
  }
}

describeWith(['apache'], 'Apache', () => {
  testThrough('with nothing but ProxyPass', {
    refusedBy: 'ours',
    start: apache((upstream) => `ProxyPass / http://127.0.0.1:${upstream}/`),
  })

  testThrough('as documented, over https', {
    isTls: true,
    refusedBy: 'ours',
    start: apache(
      (upstream) => `ProxyPass / http://127.0.0.1:${upstream}/
ProxyPreserveHost On
RequestHeader set X-Forwarded-Proto https`,
      { isTls: true },
    ),
  })

  testThrough('as documented, under a path', {
    basePath: '/jobs-admin',
    refusedBy: 'ours',
    start: apache(
      (upstream) => `ProxyPass /jobs-admin http://127.0.0.1:${upstream}/jobs-admin
ProxyPreserveHost On`,
    ),
  })
})
