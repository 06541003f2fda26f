// Runs in Deno: one process for every function. /functions/v1/<name>[/...] goes to <folder>/<name>/index.ts, whose
// default export has a fetch.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'

type Module = { default: { fetch(request: Request): Response | Promise<Response> } }

const folder = process.env.SLUICE_FUNCTIONS_DIR ?? ''
const token = process.env.SLUICE_FUNCTIONS_TOKEN ?? ''
const modules = new Map<string, Promise<Module>>()

// The input ends with the stack: without it nobody would free the port.
process.stdin.on('end', () => process.exit(0)).resume()

async function fetch(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url)
  if (pathname === '/') return new Response(token)

  const name = /^\/functions\/v1\/([a-z0-9][a-z0-9_-]*)(\/|$)/i.exec(pathname)?.[1]
  if (!name || !existsSync(join(folder, name, 'index.ts'))) {
    return refuse(404, 'NOT_FOUND', 'Requested function was not found')
  }
  try {
    const module = await load(name)
    return await module.default.fetch(request)
  } catch (cause) {
    console.error(`function ${name}:`, cause)
    return refuse(500, 'WORKER_ERROR', 'The function failed; its log says why')
  }
}

function load(name: string): Promise<Module> {
  const known = modules.get(name)
  if (known) return known
  const module = import(pathToFileURL(join(folder, name, 'index.ts')).href) as Promise<Module>
  modules.set(name, module)
  return module
}

function refuse(status: number, code: string, message: string): Response {
  return Response.json({ code, message, details: null, hint: null }, { status })
}

export default { fetch }
