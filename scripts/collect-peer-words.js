/**
 * Writes scripts/peer-words.txt: every word in the identifiers of other job systems, from what they publish on npm. `npm run measure` compares
 * our names with it.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { wordsOf } from './name-words.js'

const peers = [
  '@dbos-inc/dbos-sdk@5.3.0',
  'agenda@6.2.6',
  'bee-queue@2.0.0',
  'bree@9.2.9',
  'bull@4.16.5',
  'bullmq@6.7.0',
  'bunqueue@2.9.5',
  'graphile-worker@0.18.0',
  'liteque@0.8.0',
  'pg-boss@12.38.0',
  'plainjob@0.0.14',
]

const folder = mkdtempSync(join(tmpdir(), 'jobmachine-peers-'))
execFileSync('npm', ['pack', '--silent', ...peers], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
const words = new Set()
for (const archive of readdirSync(folder)) {
  const unpacked = join(folder, `unpacked-${archive}`)
  execFileSync('sh', ['-c', 'mkdir "$1" && tar -xzf "$0" -C "$1"', archive, unpacked], { cwd: folder })
  for (const file of readdirSync(unpacked, { recursive: true, encoding: 'utf8' })) {
    if (!/\.[cm]?[jt]s$/.test(file)) continue
    for (const name of identifiersIn(readFileSync(join(unpacked, file), 'utf8'))) {
      for (const word of wordsOf(name)) words.add(word)
    }
  }
}
rmSync(folder, { recursive: true })

const header = ['Words in the identifiers of these packages, written by scripts/collect-peer-words.js:', ...peers]
const lines = [...header.map((line) => `# ${line}`), ...[...words].sort()]
writeFileSync(new URL('./peer-words.txt', import.meta.url), `${lines.join('\n')}\n`)

/** Only names: no comments, and no text except what templates insert. */
function identifiersIn(code) {
  const names = code.replace(/\/\*.*?\*\/|^\s*\/\/.*?$|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/gms, ' ')
  return names.match(/[A-Za-z_$][\w$]*/g) ?? []
}
