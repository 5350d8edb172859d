import { describe, expect, test } from 'vitest'
import { AdmissionGate } from '../../src/engine/admission-gate.ts'
import { BackpressureError } from '../../src/errors.ts'

/** See src/engine/admission-gate.ts. */
const underWayMax = 10_000
const waitingMax = 100_000

/** A gate that this many calls have reached, and how many of them it has admitted. */
function gateWith(calls: number) {
  const gate = new AdmissionGate()
  const entered = { count: 0 }
  const enter = () => {
    const waiting = gate.enter()
    if (!waiting) entered.count++
    else void waiting.then(() => entered.count++)
  }
  for (let call = 0; call < calls; call++) enter()
  return { gate, entered, enter }
}

const settled = () => new Promise((resolve) => setImmediate(resolve))

describe('the gate', () => {
  test('lets ten thousand calls in, and the next one waits for one to leave', async () => {
    const { gate, entered } = gateWith(underWayMax + 2)
    const atOnce = entered.count

    gate.leave()
    await settled()

    expect([atOnce, entered.count]).toEqual([underWayMax, underWayMax + 1])
  })

  test('refuses a call if a hundred thousand wait, and says when to try again', () => {
    const { enter } = gateWith(underWayMax + waitingMax)

    expect(enter).toThrow(BackpressureError)
    expect(enter).toThrow(expect.objectContaining({ retryAfterMs: 1_000 }))
  })

  test('is empty again when all have left', async () => {
    const { gate, entered, enter } = gateWith(underWayMax + 5)
    for (let call = 0; call < underWayMax + 5; call++) gate.leave()
    await settled()

    for (let call = 0; call < underWayMax; call++) enter()

    expect(entered.count).toBe(2 * underWayMax + 5)
  })
})
