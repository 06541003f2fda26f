import { setTimeout as sleep } from 'node:timers/promises'

/** Tries until the work gives something true, and returns that; fails when it never does. */
export async function eventually<T>(work: () => Promise<T>, patience = 10_000): Promise<T> {
  let last: unknown
  for (const until = Date.now() + patience; Date.now() < until; ) {
    try {
      const result = await work()
      if (result) return result
      last = result
    } catch (cause) {
      last = cause
    }
    await sleep(50)
  }
  throw new Error('it did not happen in time', { cause: last })
}
