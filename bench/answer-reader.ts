const headEnd = '\r\n\r\n'

/** Counts the answers on one connection, only by status and Content-Length: the cost of a client that does more would be measured too. */
export class AnswerReader {
  readonly #status: number
  /** The beginning of an incomplete head. */
  #head: Buffer | null = null
  /** The bytes of the body that have not arrived. */
  #bodyLeft = 0

  /** `status`: the required status of every answer. */
  constructor(status: number) {
    this.#status = status
  }

  /** Processes data as it arrived, in any pieces; returns how many answers it completes. Throws if one is not as expected. */
  take(chunk: Buffer): number {
    let whole = 0
    let at = 0
    while (at < chunk.length) {
      if (this.#bodyLeft === 0) {
        const head = this.#head ? Buffer.concat([this.#head, chunk.subarray(at)]) : chunk.subarray(at)
        const end = head.indexOf(headEnd)
        if (end < 0) {
          this.#head = head
          return whole
        }
        this.#bodyLeft = this.#bodyLength(head.toString('latin1', 0, end))
        at += end + headEnd.length - (this.#head?.length ?? 0)
        this.#head = null
      }
      const taken = Math.min(this.#bodyLeft, chunk.length - at)
      this.#bodyLeft -= taken
      at += taken
      if (this.#bodyLeft === 0) whole++
    }
    return whole
  }

  #bodyLength(head: string): number {
    const length = /\r\ncontent-length: ([1-9][0-9]*)/i.exec(head)?.[1]
    if (!head.startsWith(`HTTP/1.1 ${this.#status} `) || length === undefined) {
      throw new Error(`this answer is no ${this.#status} with a body of known length: ${head}`)
    }
    return Number(length)
  }
}
