import type { Example } from './operation.ts'

/** A request as a command for a POSIX shell. `asksToken`: it shows the token, from the variable API_TOKEN. */
export function curlOf(
  url: string,
  method: string,
  { body, query, isEndless }: Partial<Example>,
  asksToken: boolean,
): string {
  const target = query === undefined ? url : quoted(`${url}?${query}`)
  const options = `${isEndless ? '-N ' : ''}${method === 'GET' ? '' : `-X ${method} `}`
  const parts = [`curl ${options}${target}`]
  if (asksToken) parts.push('-H "Authorization: Bearer $API_TOKEN"')
  if (body !== undefined) parts.push(`-H 'Content-Type: application/json'`, `-d ${quoted(toLine(body))}`)
  return parts.join(' \\\n  ')
}

/** JSON with spaces to be read by; a line end inside a text is written as `\n`, so only those between tokens go. */
function toLine(body: unknown): string {
  return JSON.stringify(body, null, 1).replace(/\n */g, ' ')
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
