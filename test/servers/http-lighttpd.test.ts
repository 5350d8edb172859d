import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tempFolder } from '../support/temp.ts'
import { testThrough } from './proxied.ts'
import { describeWith, folderOf, program, runServer } from './servers.ts'

function lighttpd(options: string) {
  return async (port: number, upstream: number) => {
    const folder = tempFolder()
    const path = join(folder, 'lighttpd.conf')
    writeFileSync(
      path,
      `server.document-root = "${folder}"
server.bind = "127.0.0.1"
server.port = ${port}
server.upload-dirs = ( "${folder}" )
server.modules = ( "mod_proxy" )
proxy.server = ( "" => ( ( "host" => "127.0.0.1", "port" => ${upstream} ) ) )
${options}
`,
    )
    await runServer(program('lighttpd'), ['-D', '-f', path, '-m', folderOf('usr/lib/lighttpd')], port)
  }
}

describeWith(['lighttpd'], 'lighttpd', () => {
  testThrough('as documented', { refusedBy: 'ours', start: lighttpd('server.stream-response-body = 1') })
})
