import type { Sql } from 'postgres'

/** What a transaction of the library works with. */
type Reserved = { unsafe: Sql['unsafe']; release(): void }

type Slot = { sql: Sql; isLost: boolean }

/**
 * Connections for the library's transactions. Those of postgres.js do not survive the loss of the server: what is said
 * to a reserved connection after it was closed ends the whole process. Here each is a client of its own that knows when
 * it is lost, refuses what comes after, and is not used again.
 */
export function connections(max: number, connect: (onclose: () => void) => Sql) {
  const idle: Slot[] = []
  const all = new Set<Slot>()
  const waiting: (() => void)[] = []

  async function reserve(): Promise<Reserved> {
    while (idle.length === 0 && all.size >= max) await new Promise<void>((settle) => waiting.push(settle))
    const slot = idle.pop() ?? open()
    return {
      unsafe: ((text: string, values?: never[]) => {
        // Anew it would run outside the transaction, and as nobody's role.
        if (slot.isLost) throw Object.assign(new Error('CONNECTION_CLOSED'), { code: 'CONNECTION_CLOSED' })
        return slot.sql.unsafe(text, values)
      }) as Sql['unsafe'],
      release() {
        if (!slot.isLost) idle.push(slot)
        waiting.shift()?.()
      },
    }
  }

  function open(): Slot {
    const slot: Slot = { sql: connect(() => discard(slot)), isLost: false }
    all.add(slot)
    return slot
  }

  function discard(slot: Slot): void {
    slot.isLost = true
    all.delete(slot)
    const at = idle.indexOf(slot)
    if (at >= 0) idle.splice(at, 1)
    waiting.shift()?.()
  }

  async function close(): Promise<void> {
    await Promise.all([...all].map(({ sql }) => sql.end({ timeout: 0 })))
  }

  return { reserve, close }
}
