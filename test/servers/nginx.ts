import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { tempFolder } from '../support/temp.ts'
import { program, runServer } from './servers.ts'

const [certificate, key] = ['cert', 'key'].map((what) => resolve(`test/support/self-signed-${what}.pem`))

/** Runs nginx with one server at the port, until the test is done. */
export async function runNginx(port: number, locations: string, { isTls = false } = {}): Promise<void> {
  const folder = tempFolder()
  mkdirSync(join(folder, 'logs'))
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  )
  const tls = `ssl_certificate ${certificate}; ssl_certificate_key ${key};`
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; master_process off; pid ${folder}/pid; error_log stderr;
    events {}
    http {
      access_log off; ${temps.join(' ')}
      server { listen 127.0.0.1:${port}${isTls ? ' ssl' : ''}; ${isTls ? tls : ''} ${locations} }
    }`,
  )
  await runServer(program('nginx'), ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')], port)
}
