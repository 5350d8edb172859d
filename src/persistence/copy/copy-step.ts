/** What is being done, and then what has been done. */
export type CopyStep =
  /** `jobs` of `of` were copied. */
  | { readonly step: 'copying'; readonly jobs: number; readonly of: number }
  /** All jobs are there, and the tail is followed. `server`: who has the file, in words; `stopped`: it was sent SIGTERM. */
  | { readonly step: 'waiting'; readonly server: string; readonly stopped: boolean }
  /** Nobody can write the file any more, for now. */
  | { readonly step: 'locked' }
  /** Both sides are the same. */
  | { readonly step: 'settled' }
  /** The file is closed for good. */
  | { readonly step: 'closed' }
