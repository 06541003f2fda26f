import { Buffer } from 'node:buffer'
import type { Writable } from 'node:stream'
import type { Transaction } from '../connection.ts'

/** A COPY … FROM STDIN that is under way. */
export interface Copy {
  /** Sends lines; resolves when there is room for more. */
  write(lines: string): Promise<void>
  /** Resolves when the server has taken all of them. */
  end(): Promise<void>
  /** Gives up, so that the transaction can be rolled back. */
  abort(cause: unknown): void
}

/** Starts a COPY in a transaction. */
export async function openCopy(tx: Transaction, statement: string): Promise<Copy> {
  const query = tx.unsafe(statement) as ReturnType<Transaction['unsafe']> & { reject(cause: unknown): void }
  const stream: Writable = await query.writable()
  const encoder = new TextEncoder()
  let block = Buffer.alloc(0)
  let failure: unknown
  let waiting: PromiseWithResolvers | undefined

  const fail = (cause: unknown) => {
    failure ??= cause
    waiting?.reject(cause)
  }
  // postgres.js settles the query with the stream and then tells nobody when the server refuses the last lines.
  query.reject = fail
  stream.on('error', fail)
  stream.on('drain', () => waiting?.resolve())

  async function room(): Promise<void> {
    if (failure) throw failure
    await waiting?.promise
    waiting = undefined
  }

  return {
    async write(lines) {
      await room()
      if (block.length < lines.length * 3) block = Buffer.allocUnsafe(lines.length * 3)
      // The block can be used again: postgres.js copies it before write returns, as none waits before it.
      const { written } = encoder.encodeInto(lines, block)
      if (!stream.write(block.subarray(0, written))) waiting = withResolvers()
    },
    async end() {
      await room()
      const ended = withResolvers()
      waiting = ended
      stream.end(ended.resolve)
      await ended.promise
    },
    abort(cause) {
      stream.destroy(cause instanceof Error ? cause : new Error(String(cause)))
    },
  }
}

interface PromiseWithResolvers {
  promise: Promise<void>
  resolve(): void
  reject(cause: unknown): void
}

function withResolvers(): PromiseWithResolvers {
  let resolve = () => {}
  let reject: (cause: unknown) => void = () => {}
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  promise.catch(() => {}) // whoever waits for it is told; nobody may be waiting yet
  return { promise, resolve, reject }
}
