import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

// Puts the compiled job machine into a build, in place of the call that compiles it. Run it on any copy whose machine was changed.
const build = resolve(process.argv[2] ?? 'dist')
const { compileJobMachine } = await import(join(build, 'machines/compile.js'))
const table = JSON.stringify(compileJobMachine(), null, 2)
writeFileSync(join(build, 'machines/job-table.js'), `export const jobTable = ${table};\n`)
