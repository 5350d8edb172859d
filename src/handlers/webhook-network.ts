import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import type { Agent } from 'node:http'
import { isIP, type LookupFunction, type TcpNetConnectOpts } from 'node:net'
import ipaddr from 'ipaddr.js'
import { PermanentError } from '../errors.ts'

/** Who may be called. */
export interface NetworkRules {
  /** Asked about each address at connect; `isPublicAddress` unless given. */
  readonly allows?: (address: string) => boolean
  /** Every address of a name; the operating system's resolver unless given. */
  readonly resolve?: (hostname: string) => Promise<LookupAddress[]>
}

/**
 * Makes an agent open connections to allowed addresses alone. The check stands where the socket is opened, on the very addresses it may go to:
 * nothing can change between check and connect, and no spelling of an address gets round it. A refusal fails the request with
 * `PermanentError` before a packet is sent; a name is refused where any of its addresses is.
 */
export function restrictAgent<A extends Agent>(
  agent: A,
  { allows = isPublicAddress, resolve = resolveAll }: NetworkRules,
): A {
  const lookup: LookupFunction = (hostname, { all }, callback) => {
    const answer = (addresses: LookupAddress[]) => {
      const [first] = addresses
      if (!first || !addresses.every(({ address }) => allows(address))) callback(refusal(hostname), '')
      else if (all) callback(null, addresses)
      else callback(null, first.address, first.family)
    }
    resolve(hostname).then(answer, (error) => callback(error, ''))
  }
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = (options, callback) => {
    const { host = '' } = options as TcpNetConnectOpts
    // A literal address is never looked up, so it is checked here.
    if (isIP(host) === 0 || allows(host)) return connect({ ...options, lookup } as typeof options, callback)
    // @ts-expect-error: Node takes an error without a stream, and no stream as the answer.
    callback(refusal(host))
  }
  return agent
}

/** Whether an address, in IPv4 or IPv6 notation, is one of the internet's: not of this machine, its networks, or reserved for a purpose. */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false
  const parsed = embeddedIPv4(ipaddr.parse(address))
  if (parsed.range() !== 'unicast') return false
  // Only 2000::/3 is given out; ipaddr.js calls the unassigned rest unicast too, `::127.0.0.1` among it.
  return parsed instanceof ipaddr.IPv4 || (parsed.parts[0]! & 0xe000) === 0x2000
}

/** The IPv4 address behind an IPv4-mapped (::ffff:0:0/96) or NAT64 (64:ff9b::/96) one; any other as it is. */
function embeddedIPv4(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  if (address instanceof ipaddr.IPv4) return address
  if (address.isIPv4MappedAddress()) return address.toIPv4Address()
  const throughNat64 = address.match(ipaddr.IPv6.parse('64:ff9b::'), 96)
  return throughNat64 ? new ipaddr.IPv4(address.toByteArray().slice(12)) : address
}

function resolveAll(hostname: string): Promise<LookupAddress[]> {
  return lookup(hostname, { all: true })
}

/** Names the host as it was asked for: what it resolved to is nobody's business outside. */
function refusal(hostname: string): PermanentError {
  return new PermanentError(`${hostname} is, or resolves to, an address that is not public; webhooks may not call it`)
}
