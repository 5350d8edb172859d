import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { aDatabase } from './postgres.ts'
import { asServerUser } from './postgres-server.ts'
import { until } from './system.ts'
import { tempFolder, whenDone } from './temp.ts'

/** Why there is no pooler to test with; null if there is one. */
export const pgbouncerMissing =
  spawnSync('pgbouncer', ['--version']).status === 0 ? null : 'no PgBouncer is installed: apt-get install pgbouncer'

function canConnect(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

/** Starts PgBouncer before the database of this file of tests; gives the address through it. */
export async function pgbouncer(settings: Readonly<Record<string, string | number>>): Promise<string> {
  const address = new URL((await aDatabase()).replace('@/', '@localhost/'))
  const folder = tempFolder('/tmp')
  const lines = Object.entries({
    listen_addr: '',
    listen_port: 6432,
    unix_socket_dir: folder,
    auth_type: 'any',
    logfile: join(folder, 'log'),
    ...settings,
  }).map(([name, value]) => `${name} = ${value}`)
  const file = join(folder, 'pgbouncer.ini')
  const server = `* = host=${address.searchParams.get('host')} user=postgres`
  writeFileSync(file, `[databases]\n${server}\n[pgbouncer]\n${lines.join('\n')}\n`)
  const [command, args, uid] = asServerUser('pgbouncer', '-q', file)
  if (uid !== null) chownSync(folder, uid, -1)
  chmodSync(folder, 0o711)
  const pooler = spawn(command, args, { stdio: 'ignore' })
  whenDone(() => void pooler.kill('SIGKILL'))
  await until(() => canConnect(join(folder, '.s.PGSQL.6432')))
  return `postgres://postgres@${address.pathname}?host=${encodeURIComponent(folder)}&port=6432`
}
