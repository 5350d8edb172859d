import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { tempFolder } from '../support/temp.ts'
import { folderOf, freePort, program, runServer } from './servers.ts'

export interface Postfix {
  readonly port: number
  /** Uses TLS from the first byte. */
  readonly tlsPort: number
  /** Its log so far. */
  log(): string
}

/** Users and groups that every Debian has, instead of `postfix` and `postdrop`, which only an installation creates. */
const mail = 8
const uucp = 10

/**
 * Postfix as in Debian, a mail server for example.test that relays for nobody and discards what it receives, until the test is done; `more`
 * is added to main.cf.
 */
export async function startPostfix(more: Readonly<Record<string, string>> = {}): Promise<Postfix> {
  const [folder, port, tlsPort] = [tempFolder('/tmp'), await freePort(), await freePort()]
  const support = resolve('test/support')
  const parameters = {
    compatibility_level: '3.6',
    queue_directory: `${folder}/spool`,
    data_directory: `${folder}/data`,
    command_directory: folderOf('usr/sbin'),
    daemon_directory: folderOf('usr/lib/postfix/sbin'),
    shlib_directory: folderOf('usr/lib/postfix'),
    meta_directory: folderOf('etc/postfix'),
    maillog_file: `${folder}/log`,
    maillog_file_prefixes: '/tmp',
    mail_owner: 'mail',
    setgid_group: 'uucp',
    default_privs: 'nobody',
    import_environment: 'LD_LIBRARY_PATH MAIL_CONFIG',
    export_environment: 'LD_LIBRARY_PATH MAIL_CONFIG',
    inet_interfaces: '127.0.0.1',
    inet_protocols: 'ipv4',
    myhostname: 'mail.example.test',
    mydestination: 'example.test localhost',
    mynetworks: '',
    alias_maps: '',
    local_recipient_maps: '',
    local_transport: 'discard',
    default_transport: 'discard',
    smtpd_relay_restrictions: 'permit_sasl_authenticated, reject_unauth_destination',
    smtpd_tls_security_level: 'may',
    smtpd_tls_cert_file: `${support}/self-signed-cert.pem`,
    smtpd_tls_key_file: `${support}/self-signed-key.pem`,
    ...more,
  }
  mkdirSync(join(folder, 'etc'))
  writeFileSync(join(folder, 'etc/main.cf'), lines(parameters))
  writeFileSync(join(folder, 'etc/master.cf'), services(port, tlsPort))
  makeFolders(folder)
  await runServer(program('postfix'), ['-c', join(folder, 'etc'), '-d'], port, { MAIL_CONFIG: join(folder, 'etc') })
  return { port, tlsPort, log: () => readFileSync(join(folder, 'log'), 'utf8') }
}

function lines(parameters: Readonly<Record<string, string>>): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${name} = ${value}\n`)
    .join('')
}

function services(port: number, tlsPort: number): string {
  return `
127.0.0.1:${port} inet n - n - - smtpd
127.0.0.1:${tlsPort} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
discard unix - - n - - discard
error unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
`
}

/** As Postfix's own installation creates them. */
function makeFolders(folder: string): void {
  chmodSync(folder, 0o755)
  const owned = [
    'active',
    'incoming',
    'deferred',
    'bounce',
    'defer',
    'corrupt',
    'flush',
    'hold',
    'trace',
    'saved',
    'private',
  ]
  for (const name of ['pid', 'public', 'maildrop', ...owned])
    mkdirSync(join(folder, 'spool', name), { recursive: true })
  for (const name of owned) chownSync(join(folder, 'spool', name), mail, 0)
  for (const name of ['public', 'maildrop']) chownSync(join(folder, 'spool', name), mail, uucp)
  mkdirSync(join(folder, 'data'))
  chownSync(join(folder, 'data'), mail, 0)
}
