/** The first bytes of a source, at least so many unless it ends before, and a source that still has them. */
export async function peek(
  source: AsyncIterable<Uint8Array>,
  count: number,
): Promise<{ head: Uint8Array; bytes: AsyncIterable<Uint8Array>; ended: boolean }> {
  const chunks = source[Symbol.asyncIterator]()
  const taken: Uint8Array[] = []
  let length = 0
  let ended = false
  while (length < count && !ended) {
    const next = await chunks.next()
    if (next.done) {
      ended = true
    } else {
      taken.push(next.value)
      length += next.value.length
    }
  }
  const head = new Uint8Array(length)
  let at = 0
  for (const chunk of taken) {
    head.set(chunk, at)
    at += chunk.length
  }
  async function* bytes(): AsyncGenerator<Uint8Array> {
    try {
      if (length > 0) yield head
      if (ended) return
      for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value
    } finally {
      await chunks.return?.()
    }
  }
  return { head, bytes: bytes(), ended }
}
