import { writeSync } from 'node:fs'
import { measurements } from './all-measurements.ts'
import type { Entry } from './catalogue.ts'
import type { OpenPeer, Place } from './peer.ts'

/** The task of one process. */
export interface Task {
  readonly peer: Entry['peer']
  readonly place: Place
  /** The first name of a measurement. */
  readonly figure: string
}

/** Each is loaded separately: bunqueue's runs in Bun, the others in Node.js. */
const peers: Record<Entry['peer'], () => Promise<{ readonly open: OpenPeer }>> = {
  jobmachine: () => import('./jobmachine.ts'),
  'bare-postgres': () => import('./bare-postgres.ts'),
  plainjob: () => import('./plainjob.ts'),
  liteque: () => import('./liteque.ts'),
  bunqueue: () => import('./bunqueue.ts'),
  bullmq: () => import('./bullmq.ts'),
  'pg-boss': () => import('./pg-boss.ts'),
  'graphile-worker': () => import('./graphile-worker.ts'),
}

const { peer, place, figure } = JSON.parse(process.argv[2]!) as Task
const { open } = await peers[peer]()
const measurement = measurements.find(({ names }) => names[0] === figure)!
const reading = await measurement.measure((options) => open(place, options), place)
// Not one of the standard streams, because some peers print there.
writeSync(3, JSON.stringify(reading))
// Some peers wait long before they close; what they hold is discarded.
process.exit()
