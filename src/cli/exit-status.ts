/** As in sysexits.h. docs/operations.md lists them all, with what to do. */
export const exitStatus = {
  usage: 64,
  /** EX_DATAERR: the file has less than was acknowledged, and a person must decide what to do. */
  missing: 65,
  /** EX_IOERR: the files were changed while they were open, and a new start shows what they have. */
  lost: 74,
  /** EX_TEMPFAIL: another server has the file; try again later. */
  locked: 75,
  config: 78,
} as const
