import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fillDisk, mountSmall } from './small-disk.ts'
import { tempFolder, whenDone } from './temp.ts'

/** A standard output for a process. */
export interface Output {
  /** The descriptor that the process inherits. */
  readonly descriptor: number
  /** Lets the reader or the disk work again; returns what has arrived by now. */
  recover(): string
}

/** A pipe with no reader. */
function goneReader(): Output {
  const { reading, writing } = fifo()
  closeSync(reading)
  return { descriptor: writing, recover: () => '' }
}

/** A pipe that was full before its process began, with a reader that does not read. */
export function stalledReader(): Output {
  const { path, reading, writing } = fifo()
  const filling = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  until('EAGAIN', () => writeSync(filling, Buffer.alloc(4_096, '\n')))
  closeSync(filling)
  let said = ''
  const chunk = Buffer.alloc(65_536)
  return {
    descriptor: writing,
    recover() {
      until('EAGAIN', () => {
        said += chunk.toString('utf8', 0, readSync(reading, chunk))
      })
      return said
    },
  }
}

/** A file on a full disk; null if none can be created. */
function fileOnFullDisk(): Output | null {
  const folder = mountSmall(join(tempFolder(), 'small'))
  if (!folder) return null
  const file = join(folder, 'log')
  const descriptor = openSync(file, 'a')
  whenDone(() => closeSync(descriptor))
  let makeRoom: (() => void) | undefined = fillDisk(folder)
  return {
    descriptor,
    recover() {
      makeRoom?.()
      makeRoom = undefined
      return readFileSync(file, 'utf8')
    },
  }
}

/** Everything that can be wrong with an output. */
export const badOutputs = {
  'a pipe whose reader is gone': goneReader,
  'a pipe that is full and that nobody reads': stalledReader,
  'a file on a full disk': fileOnFullDisk,
} satisfies Record<string, () => Output | null>

/** Both ends of a new pipe: `reading` does not block. */
function fifo() {
  const path = join(tempFolder(), 'pipe')
  execFileSync('mkfifo', [path])
  const reading = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writing = openSync(path, constants.O_WRONLY)
  whenDone(() => closeSync(writing))
  return { path, reading, writing }
}

/** Repeats something until it throws the error with that code. */
function until(code: string, again: () => void): void {
  for (;;) {
    try {
      again()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === code) return
      throw error
    }
  }
}
