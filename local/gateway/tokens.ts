import { decodeJwt, SignJWT } from 'jose'

/** The name of the key that signs tokens; the functions look it up in SUPABASE_JWKS. */
export const keyId = 'local'

/** The key set by which the functions verify the gateway's tokens. */
export function keySet(jwtSecret: string): object {
  return { keys: [{ kty: 'oct', kid: keyId, alg: 'HS256', k: Buffer.from(jwtSecret).toString('base64url') }] }
}

/** Signs the tokens of an answer anew, with the claims that hosted tokens have and the library's lack. */
export async function signAsHosted(
  request: Request,
  response: Response,
  jwtSecret: string,
): Promise<Response> {
  const { pathname } = new URL(request.url)
  if (!/^\/auth\/v1\/(token|signup|verify)$/.test(pathname) || !response.ok) return response

  const headers = new Headers(response.headers)
  headers.delete('content-length')
  const body = (await response.json()) as Session
  if (body?.access_token && body.user) {
    const claims = {
      ...decodeJwt(body.access_token),
      iss: new URL('/auth/v1', request.url).href,
      app_metadata: body.user.app_metadata,
      user_metadata: body.user.user_metadata,
      phone: body.user.phone ?? '',
      is_anonymous: false,
      aal: 'aal1',
      amr: [{ method: 'password', timestamp: Math.floor(Date.now() / 1000) }],
    }
    body.access_token = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: keyId })
      .sign(new TextEncoder().encode(jwtSecret))
  }
  return new Response(JSON.stringify(body), { status: response.status, headers })
}

type Session = {
  access_token?: string
  user?: { app_metadata: unknown; user_metadata: unknown; phone?: string }
}
