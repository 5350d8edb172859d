import type { Clock } from '../../runtime/clock.ts'
import type { DuePage, ScheduleHistoryRow, ScheduleMove, SchedulePage, ScheduleStore } from '../schedules.ts'
import { intoBatches } from './batches.ts'
import type { ScheduleReader } from './read/schedules.ts'
import type { Answers, PackedMove, PackedMoves } from './thread/protocol.ts'

/** The schedules of a file: reads on the loop, moves on the thread. */
export class FileSchedules implements ScheduleStore {
  readonly isShared = false
  readonly #clock: Clock
  readonly #read: <T>(read: (reader: ScheduleReader) => T) => Promise<T>
  readonly #send: (moves: PackedMoves) => Promise<Answers['moveSchedules']>

  constructor(
    clock: Clock,
    read: <T>(read: (reader: ScheduleReader) => T) => Promise<T>,
    send: (moves: PackedMoves) => Promise<Answers['moveSchedules']>,
  ) {
    this.#clock = clock
    this.#read = read
    this.#send = send
  }

  list(page: Parameters<ScheduleStore['list']>[0]): Promise<SchedulePage> {
    return this.#read((reader) => reader.list(page))
  }

  async find(name: string): ReturnType<ScheduleStore['find']> {
    return { now: this.#clock.now(), schedule: (await this.#read((reader) => reader.find(name))) ?? null }
  }

  history(id: number, page: { before: number; limit: number }): Promise<ScheduleHistoryRow[]> {
    return this.#read((reader) => reader.history(id, page))
  }

  due(after: DuePage['next'], limit: number): Promise<DuePage> {
    return this.#read((reader) => reader.due(this.#clock.now(), after, limit))
  }

  move(moves: readonly ScheduleMove[]): Promise<Answers['moveSchedules']> {
    const packed = moves.map(({ job, ...move }): PackedMove => ({ makesJob: job !== null, ...move }))
    const batches = intoBatches(moves.flatMap(({ job }) => job ?? []))
    return this.#send({ count: moves.length, moves: JSON.stringify(packed), batches })
  }
}
