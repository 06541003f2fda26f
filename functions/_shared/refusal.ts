/** What a caller is told when a request fails: PostgREST's shape, everywhere. */
export interface ErrorBody {
  code: string
  message: string
  details: string | null
  hint: string | null
}

/** An answer other than success, thrown from wherever it is found out. */
export class Refusal extends Error {
  readonly status: number
  readonly body: ErrorBody

  constructor(status: number, code: string, message: string, details?: string | null, hint?: string | null) {
    super(message)
    this.status = status
    this.body = { code, message, details: details ?? null, hint: hint ?? null }
  }
}

/** A malformed request or file. */
export function malformed(message: string, details?: string, hint?: string): Refusal {
  return new Refusal(400, '22023', message, details, hint)
}

/** Something is over a limit. */
export function tooLarge(message: string, details: string, hint: string): Refusal {
  return new Refusal(413, 'PT413', message, details, hint)
}
