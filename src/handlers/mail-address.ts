import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { z } from 'zod'
import { takes } from './payload.ts'

/** RFC 5321, 4.5.3.1: 256 octets for a path with its angle brackets, and 64 for a local part. */
const addressMax = 254
const localPartMax = 64
const domainMax = 253
const labelMax = 63

const atoms = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\u0080-\\u{10ffff}-]+"
const dotString = new RegExp(`^${atoms}(?:\\.${atoms})*$`, 'u')
/** The text between quotes. `<` and `>` are valid there, but mail software, including nodemailer, takes them for the end of the address. */
const quotedText = /^(?:[^"\\<>]|\\[^<>])*$/u
const label = /^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}\p{Join_C}-]*[\p{L}\p{M}\p{N}])?$/u

/** One mail address. The fault says what is wrong with it. */
export const emailAddress = z
  .string(takes('one email address, such as someone@example.com'))
  .superRefine((text, { addIssue }) => {
    const problem = addressProblem(text)
    if (problem)
      addIssue({ code: 'custom', message: `must be one email address, such as someone@example.com, but ${problem}` })
  })
  .meta({
    format: 'idn-email',
    maxLength: addressMax,
    // As close as one expression comes.
    pattern: '^(?:"[^<>]*"|[^\\s"(),:;<>@\\[\\\\\\]]+)@[^\\s",;<>@]+$',
  })

/**
 * What is wrong with a mail address; undefined if RFC 5321 and 6531 allow it: dot-strings and quoted local parts, names of one label,
 * addresses in brackets, domains and local parts in any script.
 */
function addressProblem(text: string): string | undefined {
  // A text of megabytes gets no expensive check; one that is slightly too long may have a more useful fault.
  if (text.length > 4 * addressMax) return `it has more than ${addressMax} bytes`
  if (!text.isWellFormed() || /[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) return 'it has a line break or a control character'
  const at = endOfLocalPart(text)
  const localPart = text.slice(0, at)
  const domain = text.slice(at + 1)
  if (at < 0) return text.includes('@') ? 'its quoted part does not end right before an @' : 'it has no @'
  const isQuoted = localPart.startsWith('"')
  // If there are two addresses, the first ends at a comma or semicolon after its @.
  if (/[,;]/.test(domain) || (!isQuoted && /[,;]/.test(localPart))) return 'it is more than one address'
  if (!isQuoted && /[<>]/.test(text)) return 'it has more than the address: leave out the name and the <>'
  if (domain.includes('@')) return 'it has more than one @ outside quotes'
  if (Buffer.byteLength(text) > addressMax) return `it has more than ${addressMax} bytes`
  return localPartFault(localPart) ?? domainFault(domain)
}

/** The position of the `@` that ends the local part; negative if there is none. */
function endOfLocalPart(text: string): number {
  if (!text.startsWith('"')) return text.indexOf('@')
  const quoted = /^"(?:[^"\\]|\\.)*"@/u.exec(text)
  return quoted ? quoted[0].length - 1 : -1
}

function localPartFault(localPart: string): string | undefined {
  if (localPart === '') return 'it has nothing before its @'
  if (Buffer.byteLength(localPart) > localPartMax) return `it has more than ${localPartMax} bytes before its @`
  if (localPart.startsWith('"')) {
    return quotedText.test(localPart.slice(1, -1))
      ? undefined
      : 'it has a < or > between its quotes, which cannot be sent'
  }
  if (dotString.test(localPart)) return
  if (/^\.|\.\.|\.$/.test(localPart)) return 'it has a dot before its @ that is first, last or next to another'
  return 'it has a character before its @ that only a quoted local part may have: a space or one of ( ) : [ ] \\ "'
}

function domainFault(domain: string): string | undefined {
  if (domain === '') return 'it has nothing after its @'
  if (domain.startsWith('[')) {
    const literal = /^\[(IPv6:)?([^\]]*)\]$/i.exec(domain)
    return literal && isIP(literal[2]!) === (literal[1] ? 6 : 4)
      ? undefined
      : 'it has no IP address between its brackets: [192.0.2.1] or [IPv6:2001:db8::1]'
  }
  const labels = domain.split('.')
  if (!labels.every((part) => label.test(part))) return 'its domain is not a host name'
  // An IPv4 address in another notation would be changed into a different one: 1.2.3 into 1.2.0.3.
  if (/^(?:\p{N}+|0x[\da-f]*)$/iu.test(labels.at(-1)!))
    return 'its domain is a number: an IP address must be in brackets'
  const ascii = domainToASCII(domain)
  if (ascii === '') return 'its domain is not a host name'
  const isTooLong = ascii.length > domainMax || ascii.split('.').some(({ length }) => length > labelMax)
  return isTooLong ? 'its domain, or a part of it, is longer than a host name may be' : undefined
}
