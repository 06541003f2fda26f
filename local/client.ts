import postgres, { type Sql } from 'postgres'

/** Asks the database, and asks another connection when one does not answer. */
export type Client = {
  ask<T>(question: (sql: Sql) => PromiseLike<T>): Promise<T>
  end(): Promise<void>
}

/** Longer than any question that the stack itself asks. */
const patience = 5_000

/**
 * A client for what must go on after the server came back. A connection of postgres.js that closes in the very tick in
 * which a question is written to it never connects again, and keeps what it is asked from then on waiting.
 */
export function persistentClient(url: string): Client {
  const connect = () => postgres(url, { max: 2, onnotice: () => {}, fetch_types: false, backoff: () => 0.2 })
  let sql = connect()
  return {
    async ask(question) {
      const asked = sql
      try {
        return await within(patience, question(asked))
      } catch (cause) {
        if (cause instanceof NoAnswer && sql === asked) {
          sql = connect()
          void asked.end({ timeout: 0 })
        }
        throw cause
      }
    },
    end: () => sql.end({ timeout: 0 }),
  }
}

class NoAnswer extends Error {}

/** The answer, or an error when it takes longer than that. */
export async function within<T>(milliseconds: number, answer: PromiseLike<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NoAnswer('the database does not answer')), milliseconds)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
