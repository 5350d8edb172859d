/** An error as it is stored, with each part cut to a limit. */
export interface DescribedError {
  readonly name: string
  /** Includes the messages of its causes and of its inner errors. */
  readonly message: string
  /** These three are as on the error, if it had them. */
  readonly code?: string | number
  readonly errno?: number
  readonly syscall?: string
}

/** An attempt's error as it is stored. */
export interface StoredError extends DescribedError {
  /** Its first three causes, in order. */
  readonly causes?: readonly DescribedError[]
  /** The first ten errors of an `AggregateError` among them. */
  readonly errors?: readonly DescribedError[]
  /** Frames, including those of its causes, at most 4,000 characters. The history has it; a job's last error does not. */
  readonly stack?: string
}
