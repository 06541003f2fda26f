/** What PostgreSQL's text format of COPY, around a text[] literal, cannot take as it is. */
const special = /["\\\n\r\t]/
const specials = /["\\\n\r\t]/g
const escapes: Record<string, string> = {
  '"': '\\\\"',
  '\\': '\\\\\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
}

/** A text[] as a field of COPY's text format. Most rows are plain, and joined at once. */
export function copyArray(cells: (string | null)[]): string {
  return cells.every(isPlain) ? `{"${cells.join('","')}"}` : `{${cells.map(element).join(',')}}`
}

function isPlain(cell: string | null): boolean {
  return cell !== null && !special.test(cell)
}

function element(cell: string | null): string {
  return cell === null ? 'NULL' : `"${cell.replace(specials, (char) => escapes[char] as string)}"`
}

/** A plain value as a field of COPY's text format. */
export function copyField(value: string | number | null): string {
  if (value === null) return '\\N'
  if (typeof value === 'number') return String(value)
  return value.replace(/[\\\n\r\t]/g, (char) => (char === '\\' ? '\\\\' : (escapes[char] as string)))
}
