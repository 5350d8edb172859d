import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { threadId } from 'node:worker_threads'
import { crc32 } from 'node:zlib'
import { DatabaseUnusableError } from '../../../errors.ts'
import { assertWritable, isOutOfSpace, openNew } from './private-files.ts'

/** How far a database has come. */
export interface Progress {
  /** The id of its newest epoch: see `epochs.ts`. */
  readonly epoch: string
  /** The highest ids given out; 0 if none were. */
  readonly transitions: number
  readonly jobs: number
}

/** Digits of a number: as many as a safe integer can have. */
const digits = 16
const idMax = 64
const transitionsAt = 'jobmachine mark 1\nepoch '.length + idMax + '\ntransitions '.length
const jobsAt = transitionsAt + digits + '\njobs '.length
const checkAt = jobsAt + digits + 1
const markBytes = checkAt + 'check 01234567\n'.length
const pattern = /^jobmachine mark 1\nepoch (.*?) *\ntransitions (\d{16})\njobs (\d{16})\ncheck ([0-9a-f]{8})\n$/

/** The content of a mark; `damaged` if it is incomplete, as after a power cut. */
type MarkState = Progress | 'damaged' | null

/**
 * Reads the mark of a database; `mark` is null if there is none. `isCutOff`: it is shorter than any valid mark, because the first start of
 * an earlier version failed on a full disk. Throws `DatabaseUnusableError` if this process may not read and write it.
 */
export function lookAtMark(path: string): { readonly mark: MarkState; readonly isCutOff: boolean } {
  const file = markOf(path)
  assertWritable(file)
  const found = statSync(file, { throwIfNoEntry: false })
  return { mark: readMark(file), isCutOff: found !== undefined && found.size < markBytes }
}

function readMark(file: string): MarkState {
  let text: string
  try {
    text = readFileSync(file, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  const [, epoch, transitions, jobs, check] = pattern.exec(text) ?? []
  if (epoch === undefined || check !== checksum(text.slice(0, text.indexOf('check')))) return 'damaged'
  return { epoch, transitions: Number(transitions), jobs: Number(jobs) }
}

/**
 * Creates a mark that says that nothing was stored yet, if there is none or `replace` is set. It distinguishes a new database from one that
 * is missing. Throws `DatabaseUnusableError` if it cannot be created.
 */
export function markNew(path: string, { replace = false } = {}): void {
  const mark = markOf(path)
  if (!replace && existsSync(mark)) return
  // Complete before it gets its name: a partial mark would suggest that a database is missing.
  const partial = `${mark}.partial-${process.pid}-${threadId}`
  explaining(`${mark} cannot be created`, () => {
    try {
      rmSync(partial, { force: true })
      writeWhole(partial, textOf({ epoch: '', transitions: 0, jobs: 0 }), path)
      if (replace) renameSync(partial, mark)
      else giveName(partial, mark)
    } finally {
      rmSync(partial, { force: true })
    }
    syncFolder(path)
  })
}

function writeWhole(path: string, text: string, database: string): void {
  const file = openNew(path, database)!
  try {
    writeSync(file, text, 0, 'latin1')
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Keeps the mark of another process that was faster, because it may say more already. */
function giveName(path: string, name: string): void {
  try {
    linkSync(path, name)
  } catch {
    // Some file systems have no links.
    if (!existsSync(name)) renameSync(path, name)
  }
}

/**
 * Records outside the log (`jobs.db-mark`) how far the log went: written after each commit, before any caller is answered, without its own
 * flush. So it is never ahead of the log. It is behind only after a power cut, or if two processes wrote at the same moment. If a start
 * finds less than the mark says, something was lost.
 */
export class Mark {
  readonly #path: string
  /** The text as written, with numbers and checksum filled in each time, and its part under the checksum. */
  readonly #text: Buffer
  readonly #checked: Buffer
  #file: number
  #transitions: number
  #jobs: number

  constructor(path: string, progress: Progress) {
    this.#path = path
    this.#text = Buffer.from(textOf(progress), 'latin1')
    this.#checked = this.#text.subarray(0, checkAt)
    this.#transitions = progress.transitions
    this.#jobs = progress.jobs
    this.#file = openMark(path)
    this.#write()
  }

  advance(transitions: number, jobs: number): void {
    this.#transitions = transitions
    this.noteJobs(jobs)
    this.#write()
  }

  /** Takes effect when the mark is next written. */
  noteJobs(jobs: number): void {
    this.#jobs = Math.max(this.#jobs, jobs)
  }

  /**
   * Creates it again if its name was removed. Returns why it cannot, else null: an old mark does not harm acknowledged jobs, and must not
   * end a working process.
   */
  keep(): string | null {
    const { ino } = fstatSync(this.#file)
    if (statSync(markOf(this.#path), { throwIfNoEntry: false })?.ino === ino) return null
    try {
      const file = openMark(this.#path)
      closeSync(this.#file)
      this.#file = file
    } catch (error) {
      if (error instanceof DatabaseUnusableError) return error.message
      throw error
    }
    this.#write()
    return null
  }

  close(): void {
    fsyncSync(this.#file)
    closeSync(this.#file)
  }

  #write(): void {
    writeDigits(this.#text, transitionsAt, this.#transitions)
    writeDigits(this.#text, jobsAt, this.#jobs)
    writeHex(this.#text, checkAt + 'check '.length, crc32(this.#checked))
    ifThereIsRoom(() => writeSync(this.#file, this.#text, 0, this.#text.length, 0))
  }
}

/** On a full disk the mark lags until it is written again. That is harmless and must not end a working process. */
function ifThereIsRoom(write: () => void): void {
  try {
    write()
  } catch (error) {
    if (!isOutOfSpace(error)) throw error
  }
}

function markOf(path: string): string {
  return `${path}-mark`
}

/** The file keeps its content until it is written. Throws `DatabaseUnusableError`. */
function openMark(path: string): number {
  markNew(path)
  return explaining(`${markOf(path)} cannot be opened`, () => openSync(markOf(path), 'r+'))
}

function explaining<T>(what: string, write: () => T): T {
  try {
    return write()
  } catch (error) {
    const advice = isOutOfSpace(error) ? 'free some space' : 'check the folder and its permissions'
    throw new DatabaseUnusableError(`${what}: ${(error as Error).message}; ${advice}`, { cause: error })
  }
}

function textOf({ epoch, transitions, jobs }: Progress): string {
  const number = (value: number) => String(value).padStart(digits, '0')
  const body = `jobmachine mark 1\nepoch ${epoch.slice(0, idMax).padEnd(idMax)}\ntransitions ${number(transitions)}\njobs ${number(jobs)}\n`
  return `${body}check ${checksum(body)}\n`
}

function writeDigits(text: Buffer, at: number, value: number): void {
  for (let rest = value, place = at + digits - 1; place >= at; place--) {
    const next = Math.floor(rest / 10)
    text[place] = 48 + rest - 10 * next
    rest = next
  }
}

const hexDigits = Buffer.from('0123456789abcdef', 'latin1')

/** Eight digits of 32 bits. A commit waits for it, and `toString` with a radix takes longer than the rest of a mark. */
function writeHex(text: Buffer, at: number, value: number): void {
  for (let index = 0; index < 8; index++) text[at + index] = hexDigits[(value >>> (28 - 4 * index)) & 15]!
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}

/** Flushes the names in the folder of a file. */
export function syncFolder(path: string): void {
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } catch {
    // Some systems do not support this.
  } finally {
    closeSync(folder)
  }
}
