/** An address as other databases accept it, or SQLite's own for something other than a plain file. A single letter is a Windows drive. */
const address = /^([a-z][a-z0-9+.-]+:\/\/|(?:file|sqlite3?|jdbc|libsql|[a-z]+sql):|:)/i
const uriQuery = /\?(?:mode|cache|vfs|immutable|nolock|psow)=/i

/**
 * What is wrong with a path for the database: SQLite would create a file with the very name `:memory:` or `file:jobs.db`. Null if the path
 * is valid. The message does not repeat an address, which may contain a password.
 */
export function databasePathProblem(path: unknown): string | null {
  const problem = describeProblem(path)
  return problem && `${problem}; it must be the path of a file, such as ./data/jobs.db`
}

function describeProblem(path: unknown): string | null {
  if (path instanceof URL) return 'is a URL (convert it with fileURLToPath of node:url)'
  if (typeof path !== 'string') return `is ${path === null ? 'null' : typeof path}`
  if (path.trim() === '') return 'is empty'
  const [, scheme] = address.exec(path.trimStart()) ?? []
  if (scheme === ':')
    return `is ${JSON.stringify(path)}, which is not a file: jobs are kept on disk; in tests use a temporary folder`
  if (scheme) return `is an address (${scheme}…)`
  if (uriQuery.test(path)) return `is ${JSON.stringify(path)}, with options of a SQLite address`
  if (path.includes('\0')) return 'contains a NUL character'
  if (/[/\\]$/.test(path)) return `is ${JSON.stringify(path)}, which names a folder`
  return null
}
