import { type WantedPart, wantedParts } from './stored-files.ts'

/** Turns an upload of a Blob, which supabase-js sends as a form without a field name, into a plain one. */
export async function unwrapUpload(request: Request): Promise<Request> {
  const isForm = request.headers.get('content-type')?.startsWith('multipart/form-data')
  const { pathname } = new URL(request.url)
  if (!isForm || !['POST', 'PUT'].includes(request.method) || !pathname.startsWith('/storage/v1/object/')) {
    return request
  }
  const file = [...(await request.formData()).values()].find((value) => value instanceof Blob)
  if (!file) return request
  const headers = new Headers(request.headers)
  headers.set('content-type', file.type || 'application/octet-stream')
  headers.set('content-length', String(file.size))
  return new Request(request.url, { method: request.method, headers, body: file })
}

/** Names signed URLs, to read and to upload, as supabase-js reads them: without the prefix that it adds itself. */
export async function renameSignedUrl(request: Request, response: Response): Promise<Response> {
  const { pathname } = new URL(request.url)
  const isSigning = /^\/storage\/v1\/object\/(upload\/)?sign\//.test(pathname)
  if (request.method !== 'POST' || !response.ok || !isSigning) return response
  const headers = new Headers(response.headers)
  headers.delete('content-length')
  const body = (await response.json()) as { signedUrl?: string; signedURL?: string; url?: string }
  if (body.signedUrl) {
    const named = pathname.startsWith('/storage/v1/object/upload/') ? 'url' : 'signedURL'
    body[named] = body.signedUrl.replace(/^\/storage\/v1/, '')
  }
  return new Response(JSON.stringify(body), { status: response.status, headers })
}

/** Answers a Range request with the part that it names; the library reads whole objects alone. */
export async function answerInPart(request: Request, respond: () => Promise<Response>): Promise<Response> {
  const range = request.headers.get('range')
  const { pathname } = new URL(request.url)
  if (!range || request.method !== 'GET' || !pathname.startsWith('/storage/v1/object/')) return respond()

  const wanted: WantedPart = { range }
  const response = await wantedParts.run(wanted, respond)
  if (!response.ok || wanted.size === undefined) return response
  if (!wanted.bounds) {
    const body = {
      statusCode: '416',
      error: 'invalid_range',
      message: 'The requested range cannot be satisfied',
    }
    return Response.json(body, { status: 416, headers: { 'content-range': `bytes */${wanted.size}` } })
  }
  const headers = new Headers(response.headers)
  headers.set('content-range', `bytes ${wanted.bounds.start}-${wanted.bounds.end}/${wanted.size}`)
  headers.set('content-length', String(wanted.bounds.end - wanted.bounds.start + 1))
  return new Response(response.body, { status: 206, headers })
}
