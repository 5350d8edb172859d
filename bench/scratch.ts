import { closeSync, cpSync, fsyncSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Folders for the measured databases: on the disk of the build, because /tmp may be memory, and removed when they are no longer needed. */
export class Scratch {
  readonly root: string

  constructor() {
    const build = join(import.meta.dirname, '..')
    mkdirSync(build, { recursive: true })
    this.root = mkdtempSync(join(build, 'bench-data-'))
    process.once('exit', () => this.#remove(this.root))
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  }

  /** A new folder that stays until the end. */
  folder(): string {
    return mkdtempSync(join(this.root, 'run-'))
  }

  /** Gives `use` a new folder, which is removed afterwards. */
  async during<T>(use: (folder: string) => T | Promise<T>): Promise<T> {
    const folder = this.folder()
    try {
      return await use(folder)
    } finally {
      this.#remove(folder)
    }
  }

  #remove(folder: string): void {
    // Repeated if a process that is just being ended still wrote into it.
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

/** Copies the files of a folder and flushes them; otherwise the disk would still be busy with them when a measurement begins. */
export function copyToDisk(from: string, to: string): void {
  cpSync(from, to, { recursive: true })
  for (const name of readdirSync(to)) {
    const file = openSync(join(to, name), 'r')
    fsyncSync(file)
    closeSync(file)
  }
}
