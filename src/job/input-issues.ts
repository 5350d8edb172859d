import type { z } from 'zod'
import type { InputIssue } from '../errors.ts'

/** The most unknown fields that one error lists. */
const unknownMax = 100

/** What zod found wrong with an object, one issue for each field, with the schema's messages. */
export function issuesOf({ issues }: z.ZodError): InputIssue[] {
  return issues.flatMap((issue): InputIssue[] => {
    if (issue.code !== 'unrecognized_keys') return [{ path: issue.path.join('.'), message: issue.message }]
    return issue.keys.slice(0, unknownMax).map((path) => ({ path, message: 'is not a known field' }))
  })
}
