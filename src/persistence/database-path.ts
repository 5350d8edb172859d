/** An address as other databases take it, or SQLite's own for what is no plain file. A single letter is a drive of Windows. */
const address = /^([a-z][a-z0-9+.-]+:\/\/|(?:file|sqlite3?|jdbc|libsql|[a-z]+sql):|:)/i
const uriQuery = /\?(?:mode|cache|vfs|immutable|nolock|psow)=/i

/**
 * What is wrong with a path that is to name the database: SQLite would make a file of that very name for `:memory:` or `file:jobs.db`. Null if
 * it can name a file. An address is not repeated: it may have a password in it.
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
