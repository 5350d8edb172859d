import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { whenDone } from './temp.ts'

/** Mounts a file system of one MiB at a folder that it makes, until the test or its group is done; null where none can be mounted. */
export function mountSmall(path: string): string | null {
  mkdirSync(path)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path], { stdio: 'ignore' })
  } catch {
    return null
  }
  whenDone(() => execFileSync('umount', ['-l', path]))
  return path
}

/** Lays one file system over another in a folder that it makes, as containers have it; null where that cannot be done. */
export function mountOverlay(path: string): string | null {
  const upper = mountSmall(`${path}.upper`)
  if (upper === null) return null
  const [lower, layer, work] = [`${path}.lower`, join(upper, 'layer'), join(upper, 'work')]
  for (const folder of [path, lower, layer, work]) mkdirSync(folder)
  const options = `lowerdir=${lower},upperdir=${layer},workdir=${work}`
  try {
    execFileSync('mount', ['-t', 'overlay', '-o', options, 'overlay', path], { stdio: 'ignore' })
  } catch {
    return null
  }
  whenDone(() => execFileSync('umount', ['-l', path]))
  return path
}

/** Makes a folder one in which no file can be made; gives what undoes it; null where root cannot be held to that. */
export function makeReadOnly(folder: string): (() => void) | null {
  if (process.getuid?.() !== 0) {
    chmodSync(folder, 0o555)
    return () => chmodSync(folder, 0o755)
  }
  // What is open goes on being written: it was opened before the folder was mounted over itself.
  try {
    execFileSync('mount', ['--bind', folder, folder], { stdio: 'ignore' })
  } catch {
    return null
  }
  let isMounted = true
  const undo = () => {
    if (isMounted) execFileSync('umount', ['-l', folder])
    isMounted = false
  }
  whenDone(undo)
  try {
    execFileSync('mount', ['-o', 'remount,bind,ro', folder], { stdio: 'ignore' })
  } catch {
    undo()
    return null
  }
  return undo
}

/** Takes all the space that is left; gives what makes room again. */
export function fillDisk(folder: string): () => void {
  const ballast = join(folder, 'ballast')
  try {
    writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024))
  } catch {
    // It is full.
  }
  return () => unlinkSync(ballast)
}
