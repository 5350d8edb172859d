/** One reason for which a request is refused. */
interface ApiError {
  readonly status: number
  /** What it means and what to do, for the API's description. */
  readonly meaning: string
  readonly headers?: readonly string[]
}

const byCode = {
  bad_request: {
    status: 400,
    meaning:
      'The request is not valid HTTP, does not have exactly one `Host` header, or its target is a URL of another host.',
  },
  incomplete_body: { status: 400, meaning: 'The connection ended before the body did.' },
  invalid_json: { status: 400, meaning: 'The body is not JSON in UTF-8; `errors` says where the error is.' },
  invalid_input: { status: 400, meaning: 'Fields or parameters are wrong; `errors` names each.' },
  invalid_payload: {
    status: 400,
    meaning: 'The payload does not match the schema of its type; `errors` names each fault.',
  },
  unknown_type: { status: 400, meaning: 'No handler runs jobs of that type; `errors` lists the known types.' },
  unauthorized: {
    status: 401,
    meaning: 'The API token is missing or wrong.',
    headers: ['WWW-Authenticate'],
  },
  forbidden_host: {
    status: 403,
    meaning: 'The `Host` header names neither this machine nor one of the other allowed hosts.',
  },
  foreign_origin: {
    status: 403,
    meaning:
      'A page of another origin may link to this server, but not load or change anything here; `message` says what a proxy must pass on.',
  },
  forbidden: {
    status: 403,
    meaning: 'The sender may not do that: their role does not allow it, or everything is read-only here.',
  },
  not_found: { status: 404, meaning: 'There is nothing at that path.' },
  job_not_found: { status: 404, meaning: 'No job has that id: it never existed, or retention removed it.' },
  bulk_not_found: {
    status: 404,
    meaning: 'No bulk action has that id: the last 20 are kept, until a restart.',
  },
  schedule_not_found: {
    status: 404,
    meaning: 'No schedule has that name: there was never one, or it ended and retention removed it.',
  },
  method_not_allowed: {
    status: 405,
    meaning: 'The path does not allow that method; `Allow` lists those that it allows.',
    headers: ['Allow'],
  },
  timeout: { status: 408, meaning: 'The request took too long to arrive.' },
  idempotency_conflict: {
    status: 409,
    meaning:
      'The idempotency key was used for the job `id` with other content; `null`: for an earlier item of the array.',
  },
  unique_conflict: {
    status: 409,
    meaning: 'The job `id` holds the unique key; `null`: an earlier item of the array does.',
  },
  job_failed: {
    status: 409,
    meaning: 'There will be no result: the job is dead. `message` explains why; it can be requeued.',
  },
  job_cancelled: { status: 409, meaning: 'There will be no result: the job was cancelled.' },
  illegal_transition: {
    status: 409,
    meaning: 'The job is in a `state` that does not allow this; `events` lists what it allows.',
  },
  bulk_state: {
    status: 409,
    meaning: 'It is not ready, or another number of jobs matched: see `phase` and `matched`.',
  },
  schedule_state: {
    status: 409,
    meaning: 'The state of the schedule does not allow this, or the program declares it; `message` says which.',
  },
  payload_not_kept: {
    status: 410,
    meaning: 'The job was changed often since, and keeps only its first payload and the newest ones.',
  },
  payload_too_large: {
    status: 413,
    meaning:
      'The body has more bytes, or more members and elements, than one request may have; `message` says how many.',
  },
  unsupported_media_type: {
    status: 415,
    meaning: 'The body is not `application/json` in UTF-8, or it is compressed.',
    headers: ['Accept-Encoding'],
  },
  expectation_failed: { status: 417, meaning: 'The `Expect` header must be `100-continue`.' },
  backpressure: {
    status: 429,
    meaning: 'A limit is reached: waiting jobs, requests in progress, or bytes held for them. Nothing was stored.',
    headers: ['Retry-After'],
  },
  too_many_guesses: {
    status: 429,
    meaning:
      'Too many wrong tokens were sent, from this address or from all together. A right one is accepted at any time.',
    headers: ['Retry-After'],
  },
  headers_too_large: { status: 431, meaning: 'The head of the request is too long.' },
  outcome_unknown: {
    status: 500,
    meaning:
      'The storage failed before it answered: whether this was stored is not known. Send the request again with the same idempotency key when the server is back.',
  },
  internal_error: { status: 500, meaning: 'An internal error occurred; see the server log.' },
  not_a_server: {
    status: 501,
    meaning: 'This process only enqueues and reads; the server of this file can do it.',
  },
  unavailable: {
    status: 503,
    meaning:
      'The server cannot commit now: it is draining, or its storage has a problem. This request has not been stored and will not be.',
    headers: ['Retry-After'],
  },
  storage_full: { status: 507, meaning: 'The disk is full. Nothing was stored.' },
} as const satisfies Readonly<Record<string, ApiError>>

/** Codes are stable, messages are not. */
export type ApiErrorCode = keyof typeof byCode

/** Every code that an error answer may have. */
export const apiErrors: Readonly<Record<ApiErrorCode, ApiError>> = byCode

export const apiErrorCodes = Object.keys(byCode) as ApiErrorCode[]
