import { follow, type ImportDocument, type Person, type Sending, undo, upload } from './api.ts'
import type { Endpoint } from './endpoint.ts'
import { megabytes, seconds, speed, whole } from './format.ts'
import { startStep } from './terminal.ts'

/** An import that is staged. Times are in milliseconds. */
export type Staged = {
  id: string
  /** When the request began, by performance.now(). */
  began: number
  /** How long it took: upload and staging. */
  request: number
}

/** An import that is over. */
export type Completed = {
  document: ImportDocument
  validation: number
  commit: number
  /** From the request to completed. */
  total: number
}

/** Sends a file, with a progress bar. */
export async function watchUpload(at: Endpoint, person: Person, sending: Sending): Promise<Staged> {
  const { rows } = sending
  const began = performance.now()
  const step = startStep('Upload')
  const { id } = await upload(at, person, sending, (sent, all) => {
    if (sent === all) return step.update(1, `${megabytes(all)} sent, the last rows are being staged`)
    const taken = performance.now() - began
    const rest = left((taken / sent) * (all - sent))
    step.update(sent / all, `${megabytes(sent)}  ${speed((rows * sent) / all, taken)}  ${rest}`)
  })
  const request = performance.now() - began
  step.done(summary(rows, request))
  return { id, began, request }
}

/** Follows an import through validation and commit to its end, with a progress bar for each. */
export async function watchWork(
  at: Endpoint,
  person: Person,
  { id, began }: Staged,
  rows: number,
): Promise<Completed> {
  let step = startStep('Validation')
  let validation: number | undefined
  const document = await follow(at, person, id, (now) => {
    if (validation === undefined && now.validated_at) {
      validation = between(now.staged_at, now.validated_at)
      step.done(summary(rows, validation))
      step = startStep('Commit')
    }
    showProgress(step, now)
  })
  const total = performance.now() - began
  const commit = between(document.validated_at, document.finished_at)
  step.done(summary(rows, commit))
  return { document, validation: validation ?? 0, commit, total }
}

/** Undoes an import and follows that to its end, with a progress bar. */
export async function watchUndo(
  at: Endpoint,
  person: Person,
  id: string,
  rows: number,
): Promise<{ document: ImportDocument; taken: number }> {
  const began = performance.now()
  const step = startStep('Undo')
  await undo(at, person, id)
  const document = await follow(at, person, id, (now) => showProgress(step, now), 'undone')
  const taken = performance.now() - began
  step.done(summary(rows, taken))
  return { document, taken }
}

function showProgress(step: ReturnType<typeof startStep>, { progress }: ImportDocument): void {
  if (!progress || progress.total === 0) return
  const pace = progress.items_per_minute ? `${whole(progress.items_per_minute / 60)} rows/s` : ''
  const rest = progress.eta_seconds ? left(progress.eta_seconds * 1000) : ''
  step.update(progress.processed / progress.total, `${whole(progress.processed)} rows  ${pace}  ${rest}`)
}

function summary(rows: number, taken: number): string {
  return `${seconds(taken).padStart(8)}  ${speed(rows, taken).padStart(16)}`
}

function left(milliseconds: number): string {
  return `${Math.ceil(milliseconds / 1000)} s left`
}

function between(from: string | null, to: string | null): number {
  return from && to ? Date.parse(to) - Date.parse(from) : 0
}
