/**
 * The servers of an address that names several, as libpq writes it: `postgres://one:5432,two:5432/app`. Each connection goes to the one that
 * took writes last; when it does not, the next is tried.
 */
export class Addresses {
  readonly all: readonly string[]
  #at = 0

  constructor(connectionString: string) {
    this.all = apart(connectionString)
  }

  get current(): string {
    return this.all[this.#at]!
  }

  get count(): number {
    return this.all.length
  }

  /** This one cannot be reached, or takes no writes. */
  leave(address: string): void {
    if (address === this.current) this.#at = (this.#at + 1) % this.all.length
  }
}

/** One address for each server; folders of sockets may be named by `host` and `port` after the `?`. */
function apart(connectionString: string): string[] {
  const [, before, hosts, after] = /^(\w+:\/\/(?:[^@/?]*@)?)([^/?]*)(.*)$/s.exec(connectionString) ?? []
  if (hosts?.includes(',')) return hosts.split(',').map((host) => `${before}${host}${after}`)
  const [path, query = ''] = connectionString.split('?', 2)
  const params = new URLSearchParams(query)
  const [named, ports] = [params.get('host')?.split(',') ?? [], params.get('port')?.split(',') ?? []]
  if (named.length < 2) return [connectionString]
  return named.map((host, index) => {
    params.set('host', host)
    const port = ports[index] ?? ports[0]
    if (port !== undefined) params.set('port', port)
    return `${path}?${params}`
  })
}
