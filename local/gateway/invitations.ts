import { createHash, randomInt, randomUUID } from 'node:crypto'
import type { Sql } from 'postgres'
import type { Mailbox } from './mails.ts'

/** What the auth service's invitations need: the library has none. */
export type Inviting = { database: Sql; secretKey: string; mailbox: Mailbox }

/** `POST /auth/v1/invite`: makes a person, or takes one who has not confirmed the address, and mails them a link. */
export async function invite(
  request: Request,
  { database, secretKey, mailbox }: Inviting,
): Promise<Response> {
  const key = request.headers.get('authorization')?.replace(/^Bearer /, '') ?? request.headers.get('apikey')
  if (!key) return refuse(401, 'no_authorization', 'This endpoint requires a valid Bearer token')
  if (key !== secretKey) return refuse(403, 'not_admin', 'User not allowed')

  const { email: given, data = {} } = (await request.json().catch(() => ({}))) as Invitation
  const email = String(given ?? '').toLowerCase()
  if (!/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(email) || email.length > 255) {
    return refuse(400, 'validation_failed', 'Unable to validate email address: invalid format')
  }

  const code = String(randomInt(1_000_000)).padStart(6, '0')
  const token = createHash('sha256')
    .update(email + code)
    .digest('hex') // as the library derives it
  const id = randomUUID()
  const claims = { sub: id, email, email_verified: false, phone_verified: false }
  // One statement: a transaction of this driver does not survive the loss of the server.
  const [user] = await database`
    with known as (
      select from auth.users where email = ${email} and not is_sso_user
    ),
    invited as (
      update auth.users
      set confirmation_token = ${token}, confirmation_sent_at = now(), invited_at = now(), updated_at = now()
      where email = ${email} and not is_sso_user and email_confirmed_at is null
      returning *
    ),
    made as (
      insert into auth.users (id, aud, role, email, raw_app_meta_data, raw_user_meta_data, confirmation_token,
        confirmation_sent_at, invited_at, created_at, updated_at)
      select ${id}, 'authenticated', 'authenticated', ${email}, '{"provider": "email", "providers": ["email"]}',
        ${JSON.stringify(data)}::text::jsonb, ${token}, now(), now(), now(), now()
      where not exists (select from known)
      returning *
    ),
    identified as (
      insert into auth.identities (id, provider, provider_id, user_id, identity_data, created_at, updated_at)
      select ${randomUUID()}, 'email', m.id::text, m.id, ${JSON.stringify(claims)}::text::jsonb, now(), now() from made as m
    )
    select u.id, u.aud, u.role, u.email, u.invited_at, u.confirmation_sent_at, u.raw_app_meta_data as app_metadata,
      u.raw_user_meta_data as user_metadata, u.created_at, u.updated_at
    from (select * from invited union all select * from made) as u`
  if (!user) return refuse(422, 'email_exists', 'A user with this email address has already been registered')

  const { origin, searchParams } = new URL(request.url)
  const link = new URL('/auth/v1/verify', origin)
  const redirect = searchParams.get('redirect_to') ?? origin
  link.search = new URLSearchParams({ token, type: 'invite', redirect_to: redirect }).toString()
  await mailbox.send({
    to: email,
    subject: 'You have been invited',
    text: `You have been invited to create a user on ${origin}.\n\nAccept the invitation:\n${link.href}\n\nOr enter the code: ${code}`,
  })
  return Response.json(user)
}

type Invitation = { email?: unknown; data?: object }

/**
 * Lets `/auth/v1/verify` take invitations: to the library, which does not know them, they are sign-ups that are
 * confirmed. `respond` answers such a request.
 */
export async function verifyInvitation(
  request: Request,
  respond: (request: Request) => Promise<Response>,
): Promise<Response> {
  const url = new URL(request.url)
  if (request.method === 'GET' && url.searchParams.get('type') === 'invite') {
    const answer = await respond(signUpOf(request, { token_hash: url.searchParams.get('token') }))
    return redirect(url, (await answer.json()) as Record<string, unknown>)
  }
  if (request.method !== 'POST') return respond(request)
  const body = (await request
    .clone()
    .json()
    .catch(() => ({}))) as { type?: unknown }
  return respond(body.type === 'invite' ? signUpOf(request, body) : request)
}

function signUpOf(request: Request, body: object): Request {
  const headers = new Headers(request.headers)
  headers.delete('content-length')
  headers.set('content-type', 'application/json')
  const url = new URL('/auth/v1/verify', request.url)
  return new Request(url, { method: 'POST', headers, body: JSON.stringify({ ...body, type: 'signup' }) })
}

/** Where the link leads: to an application on this machine, with the session or what went wrong behind the #. */
function redirect(url: URL, said: Record<string, unknown>): Response {
  const wanted = url.searchParams.get('redirect_to') ?? ''
  const target = /^https?:\/\/(127\.0\.0\.1|localhost)(:\d+)?(\/|$)/.test(wanted) ? wanted : url.origin
  const names = ['access_token', 'refresh_token', 'expires_in', 'expires_at', 'token_type']
  const fragment = said.access_token
    ? [...names.map((name) => [name, String(said[name])]), ['type', 'invite']]
    : [
        ['error', 'access_denied'],
        ['error_code', String(said.error_code)],
        ['error_description', String(said.msg)],
      ]
  const location = `${target}#${new URLSearchParams(fragment)}`
  return new Response(null, { status: 303, headers: { location } })
}

/** The shape of GoTrue's errors. */
function refuse(status: number, error_code: string, msg: string): Response {
  return Response.json({ code: status, error_code, msg }, { status })
}
