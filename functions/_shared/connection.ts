import process from 'node:process'
import postgres from 'postgres'

/** A direct connection to the database, for what the Data API cannot do: COPY. It is one caller's alone. */
export interface Connection {
  /** Does work in a transaction. When the work or the connection fails it is rolled back and the connection closed. */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
}

/** What a transaction is worked with. */
export type Transaction = postgres.Sql

/** An upload holds a connection for as long as it lasts, and each counts against the limit of the database. */
const maxConnections = 4
/** A server that is starting up may leave a question unanswered for ever. */
const connectTimeout = 10_000
const lost = 'the connection to the database was lost'

let open = 0
const waiting: (() => void)[] = []

/**
 * Opens a connection, works with it, and closes it, as soon as one of the few is free. There is no pool: a client of
 * postgres.js with several connections does not survive the loss of one in the middle of a transaction, and would
 * go on with what is left of it on another, outside of it.
 */
export async function withConnection<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
  while (open >= maxConnections) await new Promise<void>((settle) => waiting.push(settle))
  open++
  try {
    return await connected(work)
  } finally {
    open--
    waiting.shift()?.()
  }
}

async function connected<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
  const url = process.env.SLUICE_DB_URL ?? process.env.SUPABASE_DB_URL
  if (!url) throw new Error('SLUICE_DB_URL or SUPABASE_DB_URL must be set')
  let isLost = false
  let lose: (cause: Error) => void = () => {}
  const loss = new Promise<never>((_, reject) => {
    lose = reject
  })
  loss.catch(() => {}) // Also when all went well: closing is a loss, too, that nobody waits for.
  const sql = postgres(url, {
    max: 1,
    prepare: false, // a transaction pooler may stand in between
    fetch_types: false,
    max_lifetime: null,
    connect_timeout: connectTimeout / 1000,
    onnotice: () => {},
    onclose: () => {
      isLost = true
      lose(new Error(lost))
    },
    connection: { application_name: 'sluice imports' },
  })
  const tx = guarded(sql, () => isLost)
  try {
    await within(connectTimeout, tx`select 1`)
    return await work({
      async transaction(inside) {
        await tx.unsafe('begin')
        try {
          // The work may be waiting for something else than the database.
          const result = await Promise.race([inside(tx), loss])
          await tx.unsafe('commit')
          return result
        } catch (cause) {
          // Not rolled back by a word, which might never be answered: the connection is closed, and that does it.
          isLost = true
          throw cause
        }
      },
    })
  } finally {
    await sql.end({ timeout: 0 })
  }
}

/** Refuses to go on after the loss: what is asked next would run on a new connection, outside the transaction. */
function guarded(sql: postgres.Sql, isLost: () => boolean): Transaction {
  const refuse = () => {
    if (isLost()) throw new Error(lost)
  }
  return new Proxy(sql, {
    apply(target, self, parameters) {
      refuse()
      return Reflect.apply(target, self, parameters)
    },
    get(target, key) {
      refuse()
      return Reflect.get(target, key)
    },
  })
}

async function within<T>(milliseconds: number, answer: PromiseLike<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the database does not answer')), milliseconds)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
