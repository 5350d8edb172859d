import { describe, expect, test } from 'vitest'
import { OthersTurn } from '../../../src/persistence/sqlite/thread/others-turn.ts'

/** When a process, which makes transactions of 4 ms back to back from 0 on, pauses its use of the file, and until when. */
function leaves(turn: OthersTurn, untilMs: number, restMs = 0): [number, number][] {
  const left: [number, number][] = []
  for (let at = 0; at < untilMs; ) {
    turn.noteOwn(at, at + 4)
    at += 4
    if (turn.until > 0) left.push([at, turn.until])
    at = Math.max(at + restMs, turn.until)
  }
  return left
}

describe('a process that writes without a pause', () => {
  test('leaves the file to others for 5 ms of 25 while they write it too', () => {
    const turn = new OthersTurn()

    turn.noteOthers(0)

    expect(leaves(turn, 70)).toEqual([
      [20, 25],
      [45, 50],
      [70, 75],
    ])
  })

  test('keeps it while nobody else writes, even after others did', () => {
    const turn = new OthersTurn()

    const before = leaves(turn, 10_000)
    turn.noteOthers(-10_000)

    expect([before, leaves(turn, 10_000)]).toEqual([[], []])
  })

  test('need not pause if it has already left the file for as long', () => {
    const turn = new OthersTurn()

    turn.noteOthers(0)

    expect(leaves(turn, 1_000, 5)).toEqual([])
  })
})
