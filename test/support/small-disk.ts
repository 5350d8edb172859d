import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { whenDone } from './temp.ts'

/** Mounts a file system of one MiB at a new folder, until the test or its group is done; null if none can be mounted. */
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

/** Lays one file system over another in a new folder, as in containers; null if that is not possible. */
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

/** Makes a folder one in which no file can be created; returns the function that undoes it; null if root cannot be prevented from that. */
export function makeReadOnly(folder: string): (() => void) | null {
  if (process.getuid?.() !== 0) {
    chmodSync(folder, 0o555)
    return () => chmodSync(folder, 0o755)
  }
  // Open files can still be written, because they were opened before the folder was mounted over itself.
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

/** Uses all the remaining space; returns the function that frees it again. */
export function fillDisk(folder: string): () => void {
  const ballast = join(folder, 'ballast')
  try {
    writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024))
  } catch {
    // The disk is full.
  }
  return () => unlinkSync(ballast)
}
