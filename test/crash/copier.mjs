/**
 * Moves the jobs of a file to PostgreSQL: BUILD, the file, the address, the schema, and the step at which it sends itself
 * a signal, with its number, and the signal.
 */
import { randomUUID } from 'node:crypto'
import { writeSync } from 'node:fs'

const [, , build, path, connectionString, schema, deadly = '', times = '1', signal = 'SIGKILL'] = process.argv
const { copyFile } = await import(`${build}/persistence/copy/copy-file.js`)
let left = Number(times)
const report = await copyFile({
  path,
  postgres: { connectionString, schema },
  stopServer: true,
  now: Date.now,
  newDatabaseId: randomUUID(),
  onStep({ step }) {
    if (step !== deadly || --left !== 0) return
    writeSync(1, `${step}\n`)
    process.kill(process.pid, signal)
  },
})
console.log(JSON.stringify(report))
