import type { Reads } from '../reads.ts'

/** Ids in a block, as the sequence of the schema counts them. */
const blockIds = 1_000
/** Ids that are kept in reserve, and how many blocks are asked for at once. */
const reserveMin = 4_000

/** The ids of new jobs: reserved from the database by block, and given out here, rising. */
export class JobIds {
  /** First and last of each range that is left. */
  #ranges: [first: number, last: number][] = []
  #left = 0

  add(firsts: readonly number[] | null): void {
    for (const first of firsts ?? []) this.#ranges.push([first, first + blockIds - 1])
    this.#left += (firsts?.length ?? 0) * blockIds
  }

  /** Blocks to reserve, so that `count` ids and a reserve are left. */
  blocksFor(count: number): number {
    return Math.max(Math.ceil((count + reserveMin - this.#left) / blockIds), 0)
  }

  /** Whether so many are left. */
  has(count: number): boolean {
    return this.#left >= count
  }

  /** Asks for more, mostly for later. */
  async reserve(reads: Reads, count: number): Promise<void> {
    const blocks = this.blocksFor(count)
    const rows = await reads.all<{ first: number }>(
      `SELECT nextval('job_ids') AS first FROM generate_series(1, :blocks::integer)`,
      { blocks },
    )
    this.add(rows.map(({ first }) => first))
  }

  /** None that is left is used: the server may give it out again. */
  clear(): void {
    this.#ranges = []
    this.#left = 0
  }

  next(): number {
    const [range] = this.#ranges
    const id = range![0]++
    if (range![0] > range![1]) this.#ranges.shift()
    this.#left--
    return id
  }
}
