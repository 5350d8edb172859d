import { type FSWatcher, watch } from 'node:fs'

/**
 * Hears from the kernel when somebody writes one of the files of a database, cuts, moves or removes it. A poll can then rest for longer. Who
 * shares the log with this process runs on the same kernel, because the index of the log is shared memory.
 *
 * Only on Linux, where it opens none of the files: closing one would drop the locks on it.
 */
export class FileWatch {
  readonly #paths: readonly string[]
  readonly #onChange: () => void
  readonly #watchers: FSWatcher[] = []
  #isPossible = process.platform === 'linux'

  constructor(paths: readonly string[], onChange: () => void) {
    this.#paths = paths
    this.#onChange = onChange
  }

  /** Returns whether it has listened since an earlier call; if not, what happened before this one must be looked for once more. */
  listen(): boolean {
    const hasListened = this.#watchers.length > 0
    if (!hasListened && this.#isPossible) this.#start()
    return hasListened
  }

  /** While this process writes the files itself. */
  rest(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close()
  }

  #start(): void {
    try {
      for (const path of this.#paths)
        this.#watchers.push(watch(path, { persistent: false }, this.#onChange).on('error', () => this.#giveUp()))
    } catch {
      // The user has as many watches as the system allows.
      this.#giveUp()
    }
  }

  #giveUp(): void {
    this.#isPossible = false
    this.rest()
  }
}
