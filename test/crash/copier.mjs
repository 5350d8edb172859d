/** Moves the jobs of a file to PostgreSQL: BUILD, the file, the address, the schema, and the step after which it dies, with its number. */
const [, , build, path, connectionString, schema, deadly = '', times = '1'] = process.argv
const { copyFile } = await import(`${build}/persistence/copy/copy-file.js`)
let left = Number(times)
const report = await copyFile({
  path,
  postgres: { connectionString, schema },
  stopServer: true,
  now: Date.now,
  onStep({ step }) {
    if (step === deadly && --left === 0) process.kill(process.pid, 'SIGKILL')
  },
})
console.log(JSON.stringify(report))
