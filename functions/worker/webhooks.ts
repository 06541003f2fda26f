import { z } from 'zod'
import type { CallDatabase } from '../_shared/caller.ts'
import { malformed, Refusal } from '../_shared/refusal.ts'
import type { Route } from './app.ts'
import { outboundFetch } from './outbound.ts'
import { OutboundFailure } from './outbound-failure.ts'
import { retryAfter } from './retry-after.ts'

interface Delivery {
  id: string
  url: string
  headers: Record<string, string>
  body: string
  allow_private: boolean
}

/** What is reported of a delivery: the status of the answer, or why there was none. */
interface Outcome {
  response_status?: number
  error?: { code: string; message: string; details: string | null }
  retry_after_seconds?: number
}

/** A receiver is to take the event in, and to work on it later. */
const limits = { connect: 5_000, head: 15_000, total: 20_000 }
const callSchema = z.object({ token: z.uuid() })

/** Sends the deliveries of a call, all at once, and reports of each as soon as it is known. */
export const sendWebhooks: Route = async (body, db) => {
  const call = callSchema.safeParse(body)
  if (!call.success) throw malformed('request is not valid', z.prettifyError(call.error))
  const deliveries = (await db('take_webhook_deliveries', call.data)) as Delivery[]
  await Promise.all(deliveries.map((delivery) => deliver(delivery, call.data.token, db)))
  return { sent: deliveries.length }
}

async function deliver(delivery: Delivery, token: string, db: CallDatabase): Promise<void> {
  const outcome = await post(delivery)
  try {
    await db('report_webhook_delivery', { delivery_id: delivery.id, token, ...outcome })
  } catch (cause) {
    // Taken back meanwhile: it is sent again. The others are still to be reported.
    if (!(cause instanceof Refusal)) console.error(cause)
  }
}

async function post({ url, headers, body, allow_private }: Delivery): Promise<Outcome> {
  try {
    const answer = await outboundFetch(url, {
      method: 'POST',
      headers,
      body,
      allowPrivate: allow_private,
      maxBytes: 0,
      limits,
    })
    answer.close() // What it says beside the status, nobody reads.
    return { response_status: answer.status, retry_after_seconds: retryAfter(answer.headers) }
  } catch (cause) {
    if (cause instanceof OutboundFailure) {
      const { code, message, details } = cause
      return { error: { code, message, details } }
    }
    console.error(cause)
    return { error: { code: 'XX000', message: 'unexpected error', details: null } }
  }
}
