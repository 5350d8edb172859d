import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { openForWriting } from '../../src/persistence/sqlite/file/connection.ts'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { verifyFile } from '../../src/persistence/sqlite/verify/verify.ts'
import { briefly } from '../support/built.ts'
import { type Patch, patchedBuild } from '../support/patched-build.ts'
import type { Ordeal } from '../torture/ordeal.ts'
import { Random } from '../torture/random.ts'

/** How long a server runs before its power is cut, in ms after its first acknowledgement. */
const loadMs = { least: 150, most: 600 }
/** The least number of lines that its witness has by then, even on a slow machine. */
const witnessedMin = 40
/** How long everything may take to finish after a cut, in ms. */
const finishMs = 100_000
const sectorBytes = 512
/** For a build in which a short load reaches many checkpoints, which move the log's pages into the database. */
export const oftenCheckpointed: Patch = {
  file: 'persistence/sqlite/file/connection.js',
  text: 'wal_autocheckpoint = ',
  replace: 'wal_autocheckpoint = 40 -- ',
}
const headerBytes = 24

/** One record of the journal written by `record-writes.c`. */
export interface DiskRecord {
  readonly kind: 'write' | 'truncate' | 'sync'
  /** The file's name, without its folder. */
  readonly file: string
  /** -1 means at the end. */
  readonly offset: number
  readonly data: Buffer
}

/** What one cut lost or broke. */
export interface Cut {
  /** Unflushed writes that did not survive completely. */
  readonly dropped: number
  readonly violations: readonly string[]
}

/** Compiles the shim into a folder; null if there is no C compiler. */
export function compileShim(folder: string): string | null {
  const library = join(folder, 'record-writes.so')
  try {
    const source = resolve('test/crash/record-writes.c')
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl'])
    return library
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Runs a server under load in its own folder until it is killed, and returns everything that it did to the disk, in order. */
export async function recordLoad(shim: string, build: string, folder: string, random: Random): Promise<DiskRecord[]> {
  mkdirSync(folder, { recursive: true })
  const journal = `${folder}.journal`
  const database = join(folder, 'jobs.db')
  const script = resolve('test/crash/powered.mjs')
  const child = spawn(process.execPath, [...briefly, script, build, database, `${random.int(1, 1_000)}`], {
    env: { ...process.env, LD_PRELOAD: shim, JOURNAL: journal, RECORDED: folder },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const witnessed = () => {
    try {
      return readFileSync(`${database}.witness`, 'latin1').split('\n').length - 1
    } catch {
      return 0
    }
  }
  while (witnessed() === 0 && child.exitCode === null) await setTimeout(10)
  await setTimeout(random.int(loadMs.least, loadMs.most))
  while (witnessed() < witnessedMin && child.exitCode === null) await setTimeout(10)
  child.kill('SIGKILL')
  await exited
  const records = parseJournal(readFileSync(journal))
  rmSync(journal)
  return records
}

function parseJournal(bytes: Buffer): DiskRecord[] {
  const kinds = { W: 'write', T: 'truncate', S: 'sync' } as const
  const records: DiskRecord[] = []
  for (let at = 0; at + headerBytes <= bytes.length; ) {
    const kind = kinds[String.fromCharCode(bytes.readUInt32LE(at)) as keyof typeof kinds]
    const pathBytes = bytes.readUInt32LE(at + 4)
    const dataAt = at + headerBytes + pathBytes
    const end = dataAt + Number(bytes.readBigUInt64LE(at + 8))
    // The last record may be incomplete.
    if (end > bytes.length) break
    const file = basename(bytes.toString('utf8', at + headerBytes, dataAt))
    records.push({ kind, file, offset: Number(bytes.readBigInt64LE(at + 16)), data: bytes.subarray(dataAt, end) })
    at = end
  }
  return records
}

/** A moment to cut the power: any moment; right after an acknowledgement, where a lie would show; or inside a transaction. */
export function someMoment(records: readonly DiskRecord[], random: Random): number {
  const after = (holds: (record: DiskRecord) => boolean) =>
    records.flatMap((record, index) => (holds(record) ? [index + 1] : []))
  const told = after(({ file }) => file.endsWith('.witness'))
  const first = told[0]!
  switch (random.weighted({ any: 1, told: 2, writing: 1 })) {
    case 'any':
      return random.int(first, records.length)
    case 'told':
      return random.pick(told)
    case 'writing': {
      const writing = after(({ file, kind }) => kind === 'write' && !file.endsWith('.witness'))
      return random.pick(writing.filter((moment) => moment > first))
    }
  }
}

/**
 * Cuts the power after this many records, and returns what the disk has. Flushed data is there. Of each file's later writes any may have
 * survived, completely or up to a sector; names and lengths of files count as durable after their first flush, those of `-shm` never do.
 * SQLite relies on no more than that.
 */
export function cutPower(records: readonly DiskRecord[], moment: number, folder: string, random: Random): Cut {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'jobs.db')
  let dropped = 0
  for (const file of ['jobs.db', 'jobs.db-wal', 'jobs.db-mark']) {
    const survived = survivors(records.slice(0, moment), file, random)
    dropped += survived.dropped
    if (survived.content.length > 0) writeFileSync(join(folder, file), survived.content)
  }
  const witnessed = records
    .slice(0, moment)
    .filter(({ file }) => file === 'jobs.db.witness')
    .map(({ data }) => JSON.parse(data.toString()) as Witnessed)
  return { dropped, violations: violationsOf(path, witnessed) }
}

function survivors(records: readonly DiskRecord[], file: string, random: Random) {
  // A mark is flushed under another name before it has its own, so it exists whatever happens to its later writes.
  const own = records.filter((record) => record.file === file || record.file.startsWith(`${file}.partial-`))
  const flushed = own.findLastIndex(({ kind }) => kind === 'sync') + 1
  const mood = random.pick(['none', 'all', 'some', 'some'] as const)
  const disk = {
    bytes: Buffer.alloc(own.reduce((max, { offset, data }) => Math.max(max, offset + data.length), 0)),
    length: 0,
  }
  let dropped = 0
  for (const [index, record] of own.entries()) {
    const share = index < flushed || mood === 'all' ? 1 : mood === 'none' ? 0 : random.pick([0, 1, random.next()])
    if (share < 1) dropped++
    if (share > 0) apply(disk, record, share)
  }
  return { content: disk.bytes.subarray(0, disk.length), dropped }
}

/** `share` of a write arrives, in whole sectors. */
function apply(disk: { bytes: Buffer; length: number }, { kind, offset, data }: DiskRecord, share: number): void {
  if (kind === 'truncate') {
    disk.bytes.fill(0, offset)
    disk.length = offset
  }
  if (kind !== 'write') return
  const [first, last] = [Math.floor(offset / sectorBytes), Math.ceil((offset + data.length) / sectorBytes)]
  const end = share === 1 ? Number.POSITIVE_INFINITY : Math.round(first + share * (last - first)) * sectorBytes
  const part = data.subarray(0, Math.max(0, end - offset))
  part.copy(disk.bytes, offset)
  if (part.length > 0) disk.length = Math.max(disk.length, offset + part.length)
}

interface Witnessed {
  readonly what: 'stored' | 'cancelled' | 'start'
  readonly ids: readonly number[]
}

/** Opens what is left as a server would, and compares it with what was reported and done before the cut. */
function violationsOf(path: string, witnessed: readonly Witnessed[]): string[] {
  try {
    openForWriting(path, () => 'made anew', 0).close()
  } catch (error) {
    return [`a start refuses what is left: ${error instanceof Error ? error.message : error}`]
  }
  const violations = verifyFile(path).violations.map(
    ({ invariant, jobId, message }) => `${invariant}, job ${jobId}: ${message}`,
  )
  const db = openKept(path, { readonly: true })
  const counts = new Map(
    db.prepare(`SELECT job_id || ' ' || event, count(*) FROM job_events GROUP BY 1`).raw().all() as [string, number][],
  )
  const starts = new Map<number, number>()
  for (const { what, ids } of witnessed) {
    for (const id of ids) {
      const happened = (event: string) => counts.get(`${id} ${event}`) ?? 0
      if (what === 'stored' && happened('enqueue') === 0) violations.push(`job ${id} was acknowledged and is lost`)
      if (what === 'cancelled' && happened('cancel') === 0) violations.push(`the cancellation of job ${id} is lost`)
      if (what !== 'start') continue
      starts.set(id, (starts.get(id) ?? 0) + 1)
      if (starts.get(id)! > happened('start')) violations.push(`job ${id} was started and its history does not know`)
    }
  }
  db.close()
  return violations
}

/** Starts a server on what a cut has left, and waits until everything on it has ended; returns what is wrong then. */
export async function finish(build: string, folder: string): Promise<string[]> {
  const path = join(folder, 'jobs.db')
  const child = spawn(process.execPath, [...briefly, resolve('test/crash/powered.mjs'), build, path, 'finish'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: finishMs,
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  return [...(code === 0 ? [] : ['not everything finishes after the cut']), ...violationsOf(path, [])]
}

/** One load after another, each cut at many moments. */
export const cuts: Ordeal = async ({ seed, folder, isOver, tally }) => {
  const shim = compileShim(folder)
  if (!shim) {
    tally.violations.push('power cuts were not tried: there is no C compiler')
    return
  }
  const builds = [resolve('dist'), patchedBuild(join(folder, 'often-checkpointed'), [oftenCheckpointed])]
  for (let next = seed; !isOver(); next++) {
    const random = new Random(next)
    const own = mkdtempSync(join(folder, 'cut-'))
    const records = await recordLoad(shim, builds[next % 2]!, join(own, 'load'), random)
    tally.kills++
    for (let cut = 1; cut <= 20 && !isOver(); cut++) {
      const moment = someMoment(records, random)
      const left = join(own, `${cut}`)
      const violations = [...cutPower(records, moment, left, random).violations]
      if (cut === 1 && violations.length === 0) violations.push(...(await finish(builds[next % 2]!, left)))
      tally.cuts++
      for (const violation of violations)
        tally.violations.push(`power cut after record ${moment} of ${own}: ${violation}`)
    }
    if (tally.violations.length === 0) rmSync(own, { recursive: true })
  }
}
