import { expect, test } from 'vitest'
import type { InspectionEvent } from 'xstate'
import { eventsOf, startSystem, untilFinished } from './support/system.ts'

test('an inspector sees the events of the dispatcher and its workers', async () => {
  const seen: InspectionEvent[] = []
  const { system } = await startSystem({
    workers: 2,
    runs: { work: () => undefined },
    inspect: (event) => seen.push(event),
  })

  const { id } = await system.enqueue({ type: 'work', payload: 'hello' })
  await untilFinished(system, 1)
  await system.stop()

  const actors = new Set(seen.map(({ actorRef }) => (actorRef as { id?: string }).id))
  const told = seen.flatMap((event) => (event.type === '@xstate.event' ? [event.event.type] : []))
  expect([...actors]).toEqual(expect.arrayContaining(['timers', 'worker-1', 'worker-2']))
  expect(told).toEqual(expect.arrayContaining(['recovered', 'leased', 'applied', 'run', 'settled', 'drain']))
  expect(seen.some((event) => event.type === '@xstate.event' && event.event.assigned?.job.id === id)).toBe(true)
})

test('an inspector that throws is logged and affects no job', async () => {
  const { system, log } = await startSystem({
    runs: { work: () => undefined },
    inspect() {
      throw new Error('the inspector is broken')
    },
  })

  const { id } = await system.enqueue({ type: 'work', payload: null })
  await untilFinished(system, 1)

  expect(await eventsOf(system, id)).toBe('enqueue lease start succeed')
  expect(log.some(({ message }) => message === 'the inspect callback threw')).toBe(true)
})
