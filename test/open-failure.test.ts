import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openSystem } from './support/system.ts'
import { tempFolder, whenDone } from './support/temp.ts'

/** Which of the process's open files belong to the database. */
function openFilesOf(database: string): string[] {
  return fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const file = fs.readlinkSync(`/proc/self/fd/${fd}`)
      return file.startsWith(database) ? [file] : []
    } catch {
      return []
    }
  })
}

/** From now on the type of a file system cannot be read. */
function breakFileSystem(): void {
  const { statfsSync } = fs
  const replace = (by: typeof statfsSync) => {
    fs.statfsSync = by
    syncBuiltinESMExports()
  }
  replace((() => {
    throw new Error('EIO: i/o error, statfs')
  }) as never)
  whenDone(() => replace(statfsSync))
}

test.runIf(process.platform === 'linux')(
  'a system whose file cannot be examined once it is open is closed before its file is free for another',
  async () => {
    const database = join(tempFolder(), 'jobs.db')
    breakFileSystem()

    await expect(openSystem({ database, runs: { work() {} } })).rejects.toThrow('EIO: i/o error, statfs')

    expect(openFilesOf(database)).toEqual([])
  },
)

test.runIf(process.platform === 'linux')(
  'a system that cannot be created once its store is open closes the store',
  async () => {
    const database = join(tempFolder(), 'jobs.db')
    const opened: string[] = []
    const clock = {
      now: () => 1,
      get timers(): never {
        opened.push(...openFilesOf(database))
        throw new Error('no timers')
      },
    }

    await expect(openSystem({ database, runs: { work() {} }, clock: clock as never })).rejects.toThrow('no timers')

    expect(opened).toContain(database)
    expect(openFilesOf(database)).toEqual([])
  },
)
