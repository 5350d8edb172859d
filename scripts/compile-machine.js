import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

// Puts the compiled machines into a build, in place of the calls that compile them. Run it on any copy whose machines were changed.
const build = resolve(process.argv[2] ?? 'dist')
const { compileJobMachine, compileScheduleMachine } = await import(join(build, 'machines/compile.js'))
const tables = { job: compileJobMachine(), schedule: compileScheduleMachine() }
for (const [name, table] of Object.entries(tables)) {
  const text = `export const ${name}Table = ${JSON.stringify(table, null, 2)};\n`
  writeFileSync(join(build, `machines/${name}-table.js`), text)
}
