import { join } from 'node:path'

/** bench/peers, seen from where this file is built to: bench/peers/build/bench/peers. */
export const peersFolder = join(import.meta.dirname, '../../..')
/** That of jobmachine. */
export const rootFolder = join(peersFolder, '../..')
