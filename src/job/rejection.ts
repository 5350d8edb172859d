import type { InputIssue, InvalidInputError } from '../errors.ts'

/**
 * Why a job is not stored. An error costs more than a check, and each job of an array may have one, so the error is made once all are
 * checked.
 */
export class Rejection {
  readonly issues: readonly InputIssue[]
  readonly toError: () => InvalidInputError

  constructor(issues: readonly InputIssue[], toError: () => InvalidInputError) {
    this.issues = issues
    this.toError = toError
  }
}
