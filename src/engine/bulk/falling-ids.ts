const firstBytes = 1_024

/**
 * Falling ids, stored as the gaps between them: a byte or two each, where a number takes eight. They come out in the order in which they
 * went in.
 */
export class BulkIds {
  #bytes = new Uint8Array(firstBytes)
  #written = 0
  #read = 0
  #lastIn: number | undefined
  #lastOut: number | undefined

  /** Each must be lower than the one before. */
  add(ids: readonly number[]): void {
    for (const id of ids) {
      // Seven bits a byte, the lowest first; the eighth bit says that more follow. The first gap counts up from zero.
      let gap = this.#lastIn === undefined ? id : this.#lastIn - id
      for (; gap > 127; gap = Math.floor(gap / 128)) this.#write((gap % 128) + 128)
      this.#write(gap)
      this.#lastIn = id
    }
  }

  /** The next ids, at most `count`; none when all were taken. */
  take(count: number): number[] {
    const ids: number[] = []
    while (ids.length < count && this.#read < this.#written) {
      let gap = 0
      for (let unit = 1, goesOn = true; goesOn; unit *= 128) {
        const byte = this.#bytes[this.#read++]!
        gap += (byte % 128) * unit
        goesOn = byte > 127
      }
      this.#lastOut = this.#lastOut === undefined ? gap : this.#lastOut - gap
      ids.push(this.#lastOut)
    }
    return ids
  }

  #write(byte: number): void {
    if (this.#written === this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#bytes.length)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    this.#bytes[this.#written++] = byte
  }
}
