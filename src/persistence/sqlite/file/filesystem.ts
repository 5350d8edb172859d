import { statfsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { FileSizes } from '../../store.ts'

/** Magic numbers of statfs(2) for file systems on which SQLite's locks and fsync cannot be relied on. */
const unreliable = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x01021997, '9p (WSL, a virtual machine)'],
  [0x65735546, 'FUSE'],
])

/** The kind of network or foreign file system of `path`; null if it is a local one. */
export function unsafeFileSystem(path: string): string | null {
  // The numbers are unsigned with 32 bits, and signed on some systems.
  return unreliable.get(statfsSync(dirname(path)).type >>> 0) ?? null
}

/**
 * Uses only `stat`: opening and closing the file would drop SQLite's locks on it (POSIX). A missing file has 0 bytes, one that cannot be
 * read NaN.
 */
export async function fileSizes(path: string): Promise<FileSizes> {
  const sizeOf = (file: string) =>
    stat(file).then(
      ({ size }) => size,
      (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? 0 : Number.NaN),
    )
  const [database, wal] = await Promise.all([sizeOf(path), sizeOf(`${path}-wal`)])
  return { database, wal }
}
