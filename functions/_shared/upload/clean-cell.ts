import type { Defect } from './encoding.ts'

/** A text as the database can hold it. What escapes stand for in JSON and XML is not looked at by the decoder of bytes. */
export function cleanCell(text: string, defects: Defect[]): string {
  const hasNul = text.includes('\0')
  if (!hasNul && text.isWellFormed()) return text
  if (hasNul) defects.push({ at: 0, kind: 'nul' })
  if (!text.isWellFormed()) defects.push({ at: 0, kind: 'undecodable' })
  return text.replaceAll('\0', '').toWellFormed()
}
