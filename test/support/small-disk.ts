import { execFileSync } from 'node:child_process'
import { mkdirSync, unlinkSync, writeFileSync } from 'node:fs'
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
