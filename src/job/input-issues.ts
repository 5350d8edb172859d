import type { z } from 'zod'
import type { InputIssue } from '../errors.ts'
import { didYouMean } from './did-you-mean.ts'

/** The most unknown fields that one error lists. */
const unknownMax = 100

/** What zod found wrong with an object, one issue for each field, with the schema's messages; `known` are its fields. */
export function issuesOf({ issues }: z.ZodError, known: readonly string[]): InputIssue[] {
  return issues.flatMap((issue): InputIssue[] => {
    if (issue.code !== 'unrecognized_keys') return [{ path: issue.path.join('.'), message: issue.message }]
    return issue.keys
      .slice(0, unknownMax)
      .map((path) => ({ path, message: `is not a known field${didYouMean(path, known)}` }))
  })
}
