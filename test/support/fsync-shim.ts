import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A disk that a test can make slow or failing while a process runs on it. */
export interface ShimmedDisk {
  /** The environment for that process. */
  readonly env: Record<string, string>
  /** From now on each fsync takes half a second, or no longer does. */
  setSlow(slow: boolean): void
  /** The next fsync fails, as if the disk could not keep what was written. */
  failOnce(): void
}

/** Compiles the shim into a folder; null if there is no C compiler. */
export function shimDisk(folder: string): ShimmedDisk | null {
  mkdirSync(folder, { recursive: true })
  const library = join(folder, 'fsync-shim.so')
  const source = join(import.meta.dirname, 'fsync-shim.c')
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-o', library, source, '-ldl'], { stdio: 'ignore' })
  } catch {
    return null
  }
  return {
    env: { LD_PRELOAD: library, FSYNC_SHIM: folder },
    setSlow: (slow) => (slow ? writeFileSync(join(folder, 'slow'), '') : rmSync(join(folder, 'slow'))),
    failOnce: () => writeFileSync(join(folder, 'fail'), ''),
  }
}
