import { once } from 'node:events'
import { Engine } from '../engine.ts'
import { workers } from '../load.ts'

/** One more node of a database: says when it is open, starts when it is told to, and runs until the process that began it ends. */
const engine = await Engine.open('', { workers, postgres: JSON.parse(process.argv[2]!) })
process.send!('open')
process.once('disconnect', () => process.exit())
await once(process, 'message')
await engine.system.start()
