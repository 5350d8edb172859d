import { runNginx } from './nginx.ts'
import { testThrough } from './proxied.ts'
import { describeWith } from './servers.ts'

const documented = `
  client_max_body_size 8m;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-Proto $scheme;`

/** nginx with one server; `locations` gets the port behind it. */
function nginx(locations: (upstream: number) => string, options: { isTls?: boolean } = {}) {
  return (port: number, upstream: number) => runNginx(port, locations(upstream), options)
}

describeWith(['nginx'], 'nginx', () => {
  // By default it refuses more than 1 MB.
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
