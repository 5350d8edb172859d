/** The longest time without output, and, if the output is not a terminal, the shortest between two lines. */
const quietMs = 2_000

/** Reports on stderr what is being measured, and for how long: on a terminal at once, elsewhere every two seconds. */
export class Progress {
  readonly #terminal = process.stderr.isTTY === true
  readonly #timer = setInterval(() => this.#write(), quietMs).unref()
  #place = ''
  #text = ''
  #since = 0
  #writtenAt = performance.now()

  /** The prefix of all output from now on, such as `3/20`. */
  moveTo(place: string): void {
    this.#place = place
  }

  say(text: string): void {
    const now = performance.now()
    this.#text = text
    this.#since = now
    if (this.#terminal || now - this.#writtenAt >= quietMs) this.#write()
  }

  end(): void {
    clearInterval(this.#timer)
    if (this.#terminal) process.stderr.write('\r\x1b[K')
  }

  #write(): void {
    this.#writtenAt = performance.now()
    const seconds = Math.floor((this.#writtenAt - this.#since) / 1_000)
    const line = `${this.#place} ${this.#text}${seconds >= 1 ? `, ${seconds} s` : ''}`
    process.stderr.write(this.#terminal ? `\r\x1b[K${line}` : `${line}\n`)
  }
}
