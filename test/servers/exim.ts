import { chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { tempFolder } from '../support/temp.ts'
import { folderOf, freePort, program, runServer } from './servers.ts'

export interface Exim {
  readonly port: number
  /** Uses TLS from the first byte. */
  readonly tlsPort: number
  /** The mails that it has received, as in its queue: envelope and headers. */
  queue(): string[]
}

/** The user `mail` of every Debian, instead of `Debian-exim`, which only an installation creates. */
const mail = 8

/**
 * Exim as in Debian, a mail server for example.test that relays only for `someone@example.com` with `secret`, until the test is done. It
 * keeps received mails in its queue.
 */
export async function startExim(): Promise<Exim> {
  const [folder, port, tlsPort] = [tempFolder('/tmp'), await freePort(), await freePort()]
  for (const name of ['.', 'spool', 'log']) {
    mkdirSync(join(folder, name), { recursive: true })
    chownSync(join(folder, name), mail, mail)
  }
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const passwd = file('passwd', `${readFileSync('/etc/passwd', 'utf8')}\nDebian-exim:x:${mail}:${mail}::/:/bin/false\n`)
  const group = file('group', `${readFileSync('/etc/group', 'utf8')}\nDebian-exim:x:${mail}:\n`)
  const config = file('exim.conf', configuration(folder, port, tlsPort))
  await runServer(program('exim'), ['-C', config, '-bdf'], port, {
    // Where Exim looks up the user that it was built for.
    LD_PRELOAD: 'libnss_wrapper.so',
    NSS_WRAPPER_PASSWD: passwd,
    NSS_WRAPPER_GROUP: group,
  })
  const input = join(folder, 'spool/input')
  return {
    port,
    tlsPort,
    queue: () =>
      readdirSync(input)
        .filter((name) => name.endsWith('-H'))
        .map((name) => readFileSync(join(input, name), 'utf8')),
  }
}

function configuration(folder: string, port: number, tlsPort: number): string {
  const support = resolve('test/support')
  return `
exim_user = ${mail}
exim_group = ${mail}
exim_path = ${folderOf('usr/sbin/exim4')}
spool_directory = ${folder}/spool
log_file_path = ${folder}/log/%s
pid_file_path = ${folder}/pid
primary_hostname = mail.example.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${port} : ${tlsPort}
tls_on_connect_ports = ${tlsPort}
tls_advertise_hosts = *
tls_certificate = ${support}/self-signed-cert.pem
tls_privatekey = ${support}/self-signed-key.pem
smtputf8_advertise_hosts = *
queue_only = true
host_lookup =
rfc1413_hosts =
keep_environment =
acl_smtp_rcpt = check_rcpt
acl_smtp_data = check_data
domainlist local_domains = example.test : localhost

begin acl
check_rcpt:
  accept authenticated = *
  require message = relay not permitted
          domains = +local_domains
  accept
check_data:
  # As in Debian's own configuration.
  deny condition = \${if > {$max_received_linelength}{998}}
       message = maximum allowed line length is 998 octets, got $max_received_linelength
  accept

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = \${if and{{eq{$auth2}{someone@example.com}}{eq{$auth3}{secret}}}}
  server_set_id = $auth2
`
}
