/** Why a request to the outside world did not succeed. Those of the first line fail again however often they are tried. */
export type OutboundCode =
  | 'invalid_request'
  | 'address_refused'
  | 'too_large'
  | 'too_many_redirects'
  | 'unknown_host'
  | 'not_connected'
  | 'timed_out'
  | 'broken_answer'

export class OutboundFailure extends Error {
  readonly code: OutboundCode
  readonly details: string | null

  constructor(code: OutboundCode, message: string, details?: string) {
    super(message)
    this.code = code
    this.details = details ?? null
  }
}
