import { domainToASCII, domainToUnicode } from 'node:url'

/** A shorter text occurs inside any other. */
const lengthMin = 4
/** Bytes in base64 or hex that count as a piece of what was sent: a server may quote the beginning of a line. */
const pieceMin = 6
/** How many encodings are undone, such as base64 inside hex. */
const encodingsMax = 2
const encodedRun = /[A-Za-z0-9+/_-]{8,}={0,2}/g
/** Fewer base64 characters may be an ordinary word. */
const base64Min = 8
/**
 * Characters of one text that are searched; characters that are kept of it, so that no cut leaves a part of what was sent; and errors that
 * are searched.
 */
const textMax = 4_000
const keptMax = 2_000
const errorsMax = 10

/**
 * Removes the texts that a job sends from the errors that come back, because those are stored and shown. It finds each text in upper or
 * lower case, in the forms that the protocols use, and inside base64 or hex, such as the line of a sign-in, which is removed as a whole.
 * The name of the text replaces it. Texts shorter than 4 characters are not removed.
 */
export class Redactor {
  readonly #patterns: readonly { readonly name: string; readonly pattern: RegExp }[]
  readonly #forms: readonly { readonly name: string; readonly form: string }[]
  readonly #wholes: readonly { readonly name: string; readonly text: string }[]

  constructor(sent: readonly { readonly name: string; readonly text: string }[]) {
    const known = sent.filter(({ text }) => text.length >= lengthMin)
    const forms = known.flatMap(({ name, text }) => writtenForms(text).map((form) => ({ name, form })))
    // A text inside another one would leave the rest of the longer one.
    forms.sort((a, b) => b.form.length - a.form.length)
    this.#patterns = forms.map(({ name, form }) => ({ name, pattern: new RegExp(escaped(form), 'giu') }))
    this.#forms = forms.map(({ name, form }) => ({ name, form: form.toLowerCase() }))
    this.#wholes = known.map(({ name, text }) => ({ name, text: text.toLowerCase() }))
  }

  text(text: string): string {
    return this.#patterns
      .reduce(
        (rest, { name, pattern }) => rest.replace(pattern, () => `[${name}]`),
        text.slice(0, textMax).replace(encodedRun, (run) => this.#run(run)),
      )
      .slice(0, keptMax)
  }

  /** Redacts an error, its causes and its inner errors, and keeps only texts and numbers on each. */
  error(thrown: unknown): void {
    const errors = new Set<object>()
    const add = (value: unknown) => {
      if (typeof value === 'object' && value !== null && errors.size < errorsMax) errors.add(value)
    }
    add(thrown)
    for (const error of errors) {
      const { message, stack = '' } = error as Error
      for (const key of Object.getOwnPropertyNames(error)) {
        const value: unknown = Reflect.get(error, key)
        if (key === 'cause' || key === 'errors') for (const inner of [value].flat()) add(inner)
        else if (typeof value === 'string') Reflect.set(error, key, this.text(value))
        else if (typeof value === 'object') Reflect.deleteProperty(error, key)
      }
      if (!message || !stack.includes(message)) continue
      // The frames after the message are ours, and their length does not matter.
      const redacted = stack.replace(message, () => this.text(message))
      Reflect.set(error, 'stack', redacted)
    }
  }

  #run(run: string): string {
    const name = this.#nameOfEncoded(run, encodingsMax)
    return name === undefined ? run : `[${name}]`
  }

  #nameOfEncoded(text: string, depth: number): string | undefined {
    for (const run of text.match(encodedRun) ?? []) {
      for (const decoded of decodings(run)) {
        const name = this.#nameOfDecoded(decoded, depth - 1)
        if (name !== undefined) return name
      }
    }
    return
  }

  /** The name of the sent text that a decoded text reveals. */
  #nameOfDecoded(text: string, depth: number): string | undefined {
    const told = text.toLowerCase()
    const found =
      this.#forms.find(({ form }) => told.includes(form)) ?? this.#wholes.find(({ text }) => isPiece(told, text))
    return found?.name ?? (depth > 0 ? this.#nameOfEncoded(text, depth) : undefined)
  }
}

/**
 * The text itself, in base64 (which cannot be decoded once its case is lost), in a URL, in JSON, in HTML and in the parameters of SMTP (RFC
 * 3461); for an address also with its domain in the other script.
 */
function writtenForms(text: string): string[] {
  const all = [text, ...addressForms(text)].flatMap((form) => [
    form,
    // Base64 often loses its padding.
    form.replace(/=+$/, ''),
    ...base64Of(form),
    encodeURIComponent(form.toWellFormed()),
    JSON.stringify(form).slice(1, -1),
    form.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`),
    form.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;'),
    form.replace(/[^!-*,-<>-~]/g, (character) => `+${character.charCodeAt(0).toString(16).padStart(2, '0')}`),
  ])
  return [...new Set(all)]
}

/** Without its padding, and as it begins whatever follows the text. */
function base64Of(text: string): string[] {
  const all = Buffer.from(text).toString('base64').replace(/=+$/, '')
  return [all, all.slice(0, 4 * Math.floor(Buffer.byteLength(text) / 3))].filter(({ length }) => length >= base64Min)
}

/** Servers also name a mailbox by its local part. Alone, such as `info`, that is an ordinary word. */
function addressForms(text: string): string[] {
  const at = text.lastIndexOf('@')
  if (at < 1) return []
  const [local, domain] = [text.slice(0, at), text.slice(at + 1)]
  const quoted = [`<${local}>`, `"${local}"`, `'${local}'`, `(${local})`, `[${local}]`]
  return [...[domainToASCII(domain), domainToUnicode(domain)].map((other) => `${local}@${other || domain}`), ...quoted]
}

/** The possible meanings of a run: base64 that begins at any of its first four characters, or hex. */
function decodings(run: string): string[] {
  const hex = (run.match(/[0-9a-f]{8,}/gi) ?? []).flatMap((digits) => [digits, digits.slice(1)])
  return [
    ...[0, 1, 2, 3].map((start) => `${Buffer.from(run.slice(start), 'base64')}`),
    ...hex.map((digits) => `${Buffer.from(digits, 'hex')}`),
  ]
}

/** Whether `text` is the beginning or another part of what was sent. A sign-in begins with a NUL. */
function isPiece(text: string, whole: string): boolean {
  const piece = text.replace(/^\0+/, '')
  return piece.length >= pieceMin && whole.includes(piece)
}

function escaped(text: string): string {
  return text.toWellFormed().replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
