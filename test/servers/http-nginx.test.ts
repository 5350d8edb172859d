import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { tempFolder } from '../support/temp.ts'
import { testThrough } from './proxied.ts'
import { describeWith, program, runServer } from './servers.ts'

const certificate = ['cert', 'key'].map((what) => resolve(`test/support/self-signed-${what}.pem`))
const documented = `
  client_max_body_size 8m;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-Proto $scheme;`

/** nginx with one server; `locations` of the port behind it. */
function nginx(locations: (upstream: number) => string, { isTls = false } = {}) {
  return async (port: number, upstream: number) => {
    const folder = tempFolder()
    mkdirSync(join(folder, 'logs'))
    const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    )
    const tls = `ssl_certificate ${certificate[0]}; ssl_certificate_key ${certificate[1]};`
    writeFileSync(
      join(folder, 'nginx.conf'),
      `daemon off; master_process off; pid ${folder}/pid; error_log stderr;
      events {}
      http {
        access_log off; ${temps.join(' ')}
        server { listen 127.0.0.1:${port}${isTls ? ' ssl' : ''}; ${isTls ? tls : ''} ${locations(upstream)} }
      }`,
    )
    await runServer(program('nginx'), ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')], port)
  }
}

describeWith(['nginx'], 'nginx', () => {
  // More than 1 MB is refused by it unless it is told otherwise.
  const anySize = 'client_max_body_size 0;'

  testThrough('with nothing but proxy_pass, which sends the address behind it as Host', {
    refusedBy: 'ours',
    start: nginx((upstream) => `location / { proxy_pass http://127.0.0.1:${upstream}; ${anySize} }`),
  })

  testThrough('with Host $host, which leaves the port away', {
    refusedBy: 'ours',
    start: nginx(
      (upstream) => `location / { proxy_pass http://127.0.0.1:${upstream}; ${anySize} proxy_set_header Host $host; }`,
    ),
  })

  testThrough('with nothing but proxy_pass, over https', {
    isTls: true,
    refusedBy: 'ours',
    start: nginx((upstream) => `location / { proxy_pass http://127.0.0.1:${upstream}; ${anySize} }`, { isTls: true }),
  })

  testThrough('as documented, over https', {
    isTls: true,
    refusedBy: 'proxy',
    start: nginx((upstream) => `location / { proxy_pass http://127.0.0.1:${upstream}; ${documented} }`, {
      isTls: true,
    }),
  })

  testThrough('as documented, under a path that it leaves on', {
    basePath: '/jobs-admin',
    refusedBy: 'proxy',
    start: nginx((upstream) => `location /jobs-admin/ { proxy_pass http://127.0.0.1:${upstream}; ${documented} }`),
  })

  testThrough('as documented, under a path that it takes off', {
    basePath: '/jobs-admin',
    refusedBy: 'proxy',
    start: nginx((upstream) => `location /jobs-admin/ { proxy_pass http://127.0.0.1:${upstream}/; ${documented} }`),
  })

  testThrough('as documented, with connections that it keeps', {
    refusedBy: 'proxy',
    start: nginx(
      (upstream) =>
        `location / { proxy_pass http://jobs; ${documented} } } upstream jobs { server 127.0.0.1:${upstream}; keepalive 16;`,
    ),
  })
})
