import type { StoredError } from '../machines/lease.ts'

/** Characters kept of an error's name and of its message with its causes. */
const nameMax = 100
const messageMax = 2_000
/** Causes followed. */
const causesMax = 3

/** What is stored of anything thrown: never throws itself, however hostile `thrown` is. */
export function describeError(thrown: unknown): StoredError {
  return {
    name: cut(read(thrown, 'name') ?? typeName(thrown), nameMax),
    message: cut(messageOf(thrown, causesMax), messageMax),
  }
}

function messageOf(thrown: unknown, causes: number): string {
  const message = read(thrown, 'message') ?? textOf(thrown)
  const cause = readAny(thrown, 'cause')
  if (cause === undefined || cause === null || causes === 0) return message
  return `${message} (cause: ${messageOf(cause, causes - 1)})`
}

function read(thrown: unknown, key: string): string | undefined {
  const value = readAny(thrown, key)
  return typeof value === 'string' && value !== '' ? value : undefined
}

function readAny(thrown: unknown, key: string): unknown {
  if (typeof thrown !== 'object' || thrown === null) return
  try {
    return (thrown as Record<string, unknown>)[key]
  } catch {
    return
  }
}

function typeName(thrown: unknown): string {
  if (thrown === null) return 'thrown null'
  return typeof thrown === 'object' ? 'Error' : `thrown ${typeof thrown}`
}

function textOf(thrown: unknown): string {
  try {
    if (typeof thrown !== 'object' || thrown === null) return String(thrown)
    const text = JSON.stringify(thrown)
    return text === undefined || text === '{}' ? 'no message' : text
  } catch {
    return 'no message'
  }
}

/** Cut by code points, so that no half of a surrogate pair is stored. */
function cut(text: string, max: number): string {
  const head = text.slice(0, max + 1)
  return head.length <= max ? head.toWellFormed() : `${head.slice(0, max - 1).toWellFormed()}…`
}
