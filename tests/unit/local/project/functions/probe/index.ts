import process from 'node:process'

let brokenBodies = 0
let lostListeners = 0

/** Shows what a function is given, and how bodies travel. */
async function fetch(request: Request): Promise<Response> {
  const what = new URL(request.url).pathname.split('/').at(4)
  if (what === 'environment') {
    const names = ['SUPABASE_URL', 'SUPABASE_DB_URL', 'SUPABASE_PUBLISHABLE_KEYS', 'SUPABASE_SECRET_KEYS']
    return Response.json(Object.fromEntries(names.map((name) => [name, process.env[name]])))
  }
  if (what === 'count') return Response.json({ bytes: await count(request) })
  if (what === 'stall') return stall(request)
  if (what === 'broken') return Response.json(brokenBodies)
  if (what === 'stream') return stream()
  if (what === 'lost') return Response.json(lostListeners)
  return Response.json({ url: request.url, method: request.method })
}

async function count(request: Request): Promise<number> {
  let bytes = 0
  for await (const chunk of request.body ?? []) bytes += chunk.length
  return bytes
}

/** Reads nothing for a second. */
async function stall(request: Request): Promise<Response> {
  await new Promise((settle) => setTimeout(settle, 1_000))
  await count(request).catch(() => {
    brokenBodies++
  })
  return new Response()
}

/** Says one word, and nothing more for as long as somebody listens. */
function stream(): Response {
  return new Response(
    new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode('here')),
      cancel: () => {
        lostListeners++
      },
    }),
    { headers: { 'content-type': 'text/event-stream' } },
  )
}

export default { fetch }
