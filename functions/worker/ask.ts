import { type OutboundAnswer, outboundFetch } from './outbound.ts'
import type { OutboundCode, OutboundFailure } from './outbound-failure.ts'
import { notData } from './pages.ts'
import { retryAfter } from './retry-after.ts'
import { TaskFailure } from './task.ts'

/** A source, as far as asking it goes. */
export interface Asked {
  location: string
  /** With what makes us known to it, which no other origin is told. */
  headers: Record<string, string>
  allow_private: boolean
}

const limits = { connect: 10_000, head: 30_000, total: 90_000 }

/** Asks a source; what is no answer to that is thrown. Status 304 comes of conditions alone. */
export async function ask(
  { location, headers, allow_private }: Asked,
  url: string,
  conditions: Record<string, string>,
  maxBytes: number,
): Promise<OutboundAnswer> {
  const own = URL.canParse(url) && new URL(url).origin === new URL(location).origin ? headers : {}
  // In whatever case they are written: what a source names takes the place of ours.
  const named = Object.entries({ ...own, ...conditions }).map(([name, value]) => [name.toLowerCase(), value])
  const answer = await outboundFetch(url, {
    headers: {
      accept: 'application/json, text/csv, */*;q=0.5',
      'user-agent': 'Sluice',
      ...Object.fromEntries(named),
    },
    allowPrivate: allow_private,
    maxBytes,
    limits,
  })
  const { status } = answer
  const isUnchanged = status === 304 && Object.keys(conditions).length > 0
  if (status === 200 || isUnchanged) {
    if (!/^\s*(text\/html|application\/xhtml)/i.test(answer.headers.get('content-type') ?? '')) return answer
    answer.close()
    throw notData('it is a web page')
  }

  answer.close()
  const details = `status ${status}`
  if (status === 429 || status === 408 || status >= 500) {
    const retryAfterSeconds = retryAfter(answer.headers)
    throw new TaskFailure('08001', 'source cannot be reached', {
      details,
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    })
  }
  const hint =
    status === 401 || status === 403 ? 'Look at its secret and how it is sent (options.auth).' : undefined
  throw new TaskFailure('SY002', 'source refuses the request', { details, ...(hint && { hint }) })
}

/** Refuses what begins like a web page, whatever it says that it is. */
export function refuseHtml(head: string): void {
  if (/^\uFEFF?\s*<(!doctype\s+html|html)[\s>]/i.test(head)) throw notData('it is a web page')
}

const codes: Partial<Record<OutboundCode, string>> = {
  address_refused: 'SY005',
  too_large: 'SY003',
  invalid_request: 'SY002',
  too_many_redirects: 'SY002',
}

/** A request that did not succeed: what another attempt cannot mend ends the run. */
export function unanswered({ code, message, details }: OutboundFailure): TaskFailure {
  const known = codes[code]
  const more = { details: [message, details].filter(Boolean).join(': ') }
  if (!known) return new TaskFailure('08001', 'source cannot be reached', more)
  const words = {
    SY005: 'address of the source is not allowed',
    SY003: 'source is too large',
    SY002: 'source refuses the request',
  }
  return new TaskFailure(known, words[known as keyof typeof words], more)
}
