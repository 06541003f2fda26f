import process from 'node:process'
import { z } from 'zod'
import { malformed } from '../_shared/refusal.ts'
import { secretKey } from '../_shared/secret-key.ts'
import type { Route } from './app.ts'
import { retryAfter } from './retry-after.ts'

/** The auth service sends the mail before it answers. */
const patience = 30_000

/** What the auth service said; status 0: nothing. */
interface Answer {
  status: number
  code?: string
  message?: string
  retry_after_seconds?: number
}

interface Person {
  user_id: string
  email: string
}

const callSchema = z.object({ token: z.uuid() })

/** Has invitations sent, one after the other, until the database has none for this call. */
export const sendInvitations: Route = async (body, db) => {
  const call = callSchema.safeParse(body)
  if (!call.success) throw malformed('request is not valid', z.prettifyError(call.error))
  const { token } = call.data
  let asked = 0
  let person = (await db('next_invitation', { token })) as Person | null
  while (person) {
    const { user_id } = person
    const outcome = { user_id, ...(await invite(person.email)) }
    person = (await db('next_invitation', { token, outcome })) as Person | null
    asked++
  }
  return { asked }
}

async function invite(email: string): Promise<Answer> {
  const key = secretKey()
  try {
    const response = await fetch(`${process.env.SUPABASE_URL}/auth/v1/invite`, {
      method: 'POST',
      headers: { apikey: key, authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ email }),
      signal: AbortSignal.timeout(patience),
    })
    const said = await response.text()
    if (response.ok) return { status: response.status }
    return {
      status: response.status,
      ...reasonOf(said),
      retry_after_seconds: retryAfter(response.headers),
    }
  } catch (cause) {
    // Of an address that cannot be reached, say; the reason of Deno names it.
    console.error('invitations:', cause)
    return { status: 0, message: 'auth service did not answer' }
  }
}

/** GoTrue says `error_code` and `msg`, its gateways and older versions other things. */
function reasonOf(text: string): { code?: string; message?: string } {
  try {
    const said = JSON.parse(text) as Record<string, unknown>
    const first = (...names: string[]) =>
      names.map((name) => said[name]).find((value): value is string => typeof value === 'string')
    return {
      code: first('error_code', 'code'),
      message: first('msg', 'message', 'error_description', 'error'),
    }
  } catch {
    return {}
  }
}
