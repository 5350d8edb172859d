import { sharedNow } from './child.ts'
import { Engine } from './engine.ts'
import { workers } from './load.ts'
import type { Restarted } from './questions/restart.ts'

/** Starts a system on the file in a folder, as a program would, and reports when it reached each stage. */
const [folder] = process.argv.slice(2) as [string]
let ranAt: number | undefined
const onRun = () => {
  ranAt ??= sharedNow()
}
const engine = await Engine.open(folder, { workers, onRun })
const openedAt = sharedNow()
await engine.system.start()
const recoveredAt = sharedNow()
await engine.begun(1)
const edges = await engine.system.edgeCounts()
const recovered = edges.filter(({ event }) => event === 'expire').reduce((sum, { count }) => sum + count, 0)
process.send!({ openedAt, recoveredAt, ranAt: ranAt!, recovered } satisfies Restarted)
await engine.close()
