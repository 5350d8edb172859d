import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

// XState's own types do not compile under exactOptionalPropertyTypes if skipLibCheck is off (5.33.3, any TypeScript). Ours need very little
// of them, so in a build they refer to a file beside them instead.
const build = resolve(process.argv[2] ?? 'dist')
const stub = 'xstate-types'
copyFileSync(join(import.meta.dirname, `${stub}.d.ts`), join(build, `${stub}.d.ts`))

for (const file of readdirSync(build, { recursive: true, encoding: 'utf8' })) {
  if (!file.endsWith('.d.ts')) continue
  const path = join(build, file)
  const types = readFileSync(path, 'utf8')
  const to = relative(dirname(path), join(build, stub))
  const local = `${to.startsWith('.') ? '' : './'}${to}.js`
  const plain = types.replace(
    /(from |import\()(['"])xstate\2/g,
    (_, before, quote) => `${before}${quote}${local}${quote}`,
  )
  if (plain !== types) writeFileSync(path, plain)
}
