/** The upload broke off: the client went away, or the body is not as long as was announced. */
export class Interruption extends Error {
  readonly details: string

  constructor(details: string, cause?: unknown) {
    super('upload was interrupted', { cause })
    this.details = details
  }
}
