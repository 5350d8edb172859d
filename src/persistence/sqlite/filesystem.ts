import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'

/** Magic numbers of statfs(2) for file systems on which SQLite's locks and fsync cannot be relied on. */
const unreliable = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x01021997, '9p (WSL, a virtual machine)'],
  [0x65735546, 'FUSE'],
])

/** The kind of network or foreign file system that `path` lies on, null where it is a local one. */
export function unreliableFileSystem(path: string): string | null {
  // The numbers are unsigned 32 bits, and come signed on some systems.
  return unreliable.get(statfsSync(dirname(path)).type >>> 0) ?? null
}
