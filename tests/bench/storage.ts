import { createReadStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql } from 'postgres'
import { importStored, type Person, signUpWithOrganization, storeFile } from '../../local/demo/api.ts'
import type { OwnStack } from '../../local/demo/endpoint.ts'
import { megabytes, seconds, speed, tableLines, whole } from '../../local/demo/format.ts'
import { asPostgres } from '../../local/demo/prepare.ts'
import type { Later } from '../../local/demo/run.ts'
import { print, startStep, styled } from '../../local/demo/terminal.ts'
import { writeFile } from './file.ts'
import { resetPeak, type Usage, usageOf } from './process.ts'
import { ownStack } from './stack.ts'

/** About how long a row of the file is. */
const rowBytes = 106
/** What a request may bring on the platform; the local stack allows more, so that both ways can be measured. */
const requestLimits = { here: 1024 ** 3, platform: 32 * 1024 ** 2 }

/** What taking a file in took, and what the functions' process used for it. */
interface Measured {
  milliseconds: number
  before: Usage | undefined
  after: Usage | undefined
  /** Of each call, where the file came in by several. */
  callSeconds: number[]
}

/** Times the ingest of a stored file beside the same rows in one request; nothing depends on the times. */
export async function benchStorage(later: Later, bytes: number): Promise<number> {
  const rows = Math.round(bytes / rowBytes)
  print(`\n  ${styled('bold', 'Sluice')}: ${whole(rows)} rows by way of Storage, and in one request\n`)
  const stack = await ownStack(later)
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  later(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'customers.csv')
  const writing = startStep('File')
  await writeFile(rows, file)
  const size = statSync(file).size
  writing.done(`${whole(rows)} rows, ${megabytes(size)}`)

  const person = await signUpWithOrganization(stack, 'sluice@example.com', 'Sluice')
  const small = join(folder, 'small.csv')
  await writeFile(1000, small)
  await inRequest(stack, person, small) // so that the functions are loaded
  await allowRequests(stack, 64 * 1024)
  await viaStorage(stack, person, small)

  await allowRequests(stack, requestLimits.platform)
  const ingest = await told('Storage', rows, () => viaStorage(stack, person, file))
  await allowRequests(stack, requestLimits.here)
  const request = await told('Request', rows, () => inRequest(stack, person, file))

  present(request, ingest, rows)
  const counts = await asPostgres(
    stack,
    (sql) => sql<{ count: number }[]>`
      select count(*)::integer as count from private.import_rows as r
      join public.import_batches as b on b.id = r.batch_id where b.byte_size = ${size}
      group by b.id`,
  )
  if (counts.length === 2 && counts.every(({ count }) => count === rows)) return 0
  print(
    `  ${styled('red', `✘ ${counts.map(({ count }) => whole(count)).join(' and ')} rows, not ${whole(rows)}`)}`,
  )
  return 1
}

async function told(label: string, rows: number, work: () => Promise<Measured>): Promise<Measured> {
  const step = startStep(label)
  const measured = await work()
  step.done(
    `${seconds(measured.milliseconds).padStart(8)}  ${speed(rows, measured.milliseconds).padStart(16)}`,
  )
  return measured
}

function allowRequests(stack: OwnStack, bytes: number): Promise<unknown> {
  return asPostgres(
    stack,
    (sql) => sql`select public.set_setting('imports.max_request_bytes', to_jsonb(${bytes}::bigint))`,
  )
}

/** Stages a file in one request. */
async function inRequest(stack: OwnStack, person: Person, file: string): Promise<Measured> {
  return measured(stack, async () => {
    const response = await fetch(`${stack.url}/functions/v1/imports?dataset=customers`, {
      method: 'POST',
      headers: { authorization: `Bearer ${person.token}`, 'content-type': 'text/csv' },
      body: Readable.toWeb(createReadStream(file, { highWaterMark: 256 * 1024 })) as ReadableStream,
      duplex: 'half',
    } as RequestInit)
    await jsonOf(response)
    return []
  })
}

/** Uploads a file to Storage, which is not timed, and has it taken in. */
async function viaStorage(stack: OwnStack, person: Person, file: string): Promise<Measured> {
  const stored = await storeFile(stack, person, '/functions/v1/imports?dataset=customers', file)
  return measured(stack, async () => {
    const { id } = await importStored(stack, person, stored)
    return asPostgres(stack, (sql) => followCalls(sql, stack, id))
  })
}

/** Waits until a file is taken in, and tells the processor time of each call that moved it on. */
async function followCalls(sql: Sql, stack: OwnStack, id: string): Promise<number[]> {
  const callSeconds: number[] = []
  const cpuSeconds = () => usageOf(stack.functionsPid ?? 0)?.cpuSeconds ?? 0
  let position = 0
  for (let last = cpuSeconds(); ; ) {
    const [now] = await sql<{ status: string; error: string | null; position: string | null }[]>`
      select b.status, b.error ->> 'message' as error, i.position from public.import_batches as b
      left join private.import_ingests as i on i.batch_id = b.id where b.id = ${id}`
    const isOver = now?.status !== 'receiving'
    if (isOver || Number(now?.position ?? 0) > position) {
      position = Number(now?.position ?? 0)
      callSeconds.push(cpuSeconds() - last)
      last = cpuSeconds()
    }
    if (now?.status === 'failed') throw new Error(`the ingest failed: ${now.error}`)
    if (isOver) return callSeconds
    await sleep(20)
  }
}

async function measured(stack: OwnStack, work: () => Promise<number[]>): Promise<Measured> {
  const pid = stack.functionsPid ?? 0
  resetPeak(pid)
  const before = usageOf(pid)
  const began = performance.now()
  const callSeconds = await work()
  return { milliseconds: performance.now() - began, before, after: usageOf(pid), callSeconds }
}

async function jsonOf(response: Response): Promise<unknown> {
  const text = await response.text()
  if (!response.ok) throw new Error(`${response.status} ${text}`)
  return JSON.parse(text)
}

function present(request: Measured, ingest: Measured, rows: number): void {
  const cells = (
    [
      ['one request', request],
      ['by way of Storage', ingest],
    ] as const
  ).map(([what, { milliseconds, before, after, callSeconds }]) => [
    what,
    (milliseconds / 1000).toFixed(2),
    whole((rows / milliseconds) * 1000),
    (request.milliseconds / milliseconds).toFixed(2),
    before && after ? (after.cpuSeconds - before.cpuSeconds).toFixed(1) : '',
    callSeconds.length > 0 ? Math.max(...callSeconds).toFixed(2) : '',
    before ? String(Math.round(before.residentBytes / 1024 ** 2)) : '',
    after ? String(Math.round(after.peakBytes / 1024 ** 2)) : '',
  ])
  print()
  const header = [
    '',
    '>seconds',
    '>rows/s',
    '>as fast as a request',
    '>CPU s',
    '>most CPU s a call',
    '>idle MB',
    '>peak MB',
  ]
  for (const line of tableLines(header, cells)) print(`  ${line}`)
  print(
    `\n  ${ingest.callSeconds.length} calls; the upload to Storage is not counted; memory is that of the process of all functions`,
  )
}
