// Runs in Node and in Deno: fetches what it is told, a line of JSON each, and says what came of it.

import { Buffer } from 'node:buffer'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { outboundFetch } from '../../functions/worker/outbound.ts'

for await (const line of createInterface({ input: process.stdin })) {
  const { url, names, ...options } = JSON.parse(line)
  const resolve = names && (async (host: string) => names[host]?.shift() ?? [])
  const began = performance.now()
  console.log(
    JSON.stringify({ ...(await outcome(url, { ...options, resolve })), ms: performance.now() - began }),
  )
}

async function outcome(url: string, options: Parameters<typeof outboundFetch>[1]) {
  try {
    const answer = await outboundFetch(url, options)
    let length = 0
    let body = ''
    for await (const bytes of answer.body) {
      length += bytes.length
      if (body.length < 1000) body += Buffer.from(bytes).toString().slice(0, 1000)
    }
    return {
      status: answer.status,
      url: answer.url,
      headers: Object.fromEntries(answer.headers),
      length,
      body,
    }
  } catch (cause) {
    const { name, message, code, details } = cause as Error & { code?: string; details?: string }
    return { failed: code ?? name, message, details, peak: process.memoryUsage().rss }
  }
}
