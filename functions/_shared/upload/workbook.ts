import { malformed, Refusal, tooLarge } from '../refusal.ts'
import type { ArchiveEntry } from './archive.ts'
import { notATable } from './binary.ts'
import { cleanCell } from './clean-cell.ts'
import type { Defect } from './encoding.ts'
import type { FileFormat, OpenFile } from './file.ts'
import type { Row } from './records.ts'
import { type NumberStyle, numberStyle, numberText } from './sheet-values.ts'
import { readXml } from './xml.ts'

/** What a workbook may cost. */
export interface WorkbookLimits {
  max_workbook_bytes: number
  max_columns: number
  /** What workbooks of the same request have unpacked so far. */
  spent?: { bytes: number }
}

interface Sheet {
  name: string
  part: string
  isHidden: boolean
}

interface Workbook {
  sheets: Sheet[]
  is1904: boolean
  texts: string | undefined
  styles: string | undefined
}

const lastRow = 1_048_576
const maxSheets = 1_000
const maxParts = 10_000
const maxStyles = 65_536

/**
 * Opens a sheet of a workbook (xlsx): the one that is asked for, else the first that can be seen and is not empty.
 *
 * The archive is read with yauzl and its XML with saxes; what the cells mean is read here, as a stream. The libraries
 * that read a workbook as a whole were tried and hold all of it in memory at once, several times over, and none bounds
 * what it unpacks. docs/imports.md, "Workbooks", has the figures.
 */
export async function openWorkbook(
  entries: ArchiveEntry[],
  format: Pick<FileFormat, 'header' | 'sheet'>,
  limits: WorkbookLimits,
): Promise<OpenFile> {
  const open = partsOf(entries, limits.max_workbook_bytes, limits.spent)
  const workbook = await readWorkbook(open)
  const styles = await readStyles(open(workbook.styles))
  const texts = await readTexts(open(workbook.texts), limits)

  const wanted = format.sheet === undefined ? undefined : findSheet(workbook.sheets, format.sheet)
  for (const sheet of wanted ? [wanted] : workbook.sheets.filter((sheet) => !sheet.isHidden)) {
    const part = open(sheet.part)
    if (!part) throw damaged(`it has no ${sheet.part}`)
    const context = {
      styles,
      texts,
      is1904: workbook.is1904,
      maxColumns: limits.max_columns,
      maxLength: limits.max_workbook_bytes,
    }
    const batches = explained(readRows(part, context))
    const first = await batches.next()
    if (first.done) continue
    return {
      hasHeader: format.header,
      fits: (cells, columns) => cells <= columns, // empty cells at the end of a row are not in the file
      format: () => ({
        kind: 'xlsx',
        sheet: sheet.name,
        sheets: workbook.sheets.map(({ name }) => name),
        header: format.header,
      }),
      async *batches() {
        yield first.value
        yield* batches
      },
    }
  }
  const where = wanted ? `sheet ${JSON.stringify(wanted.name)}` : 'every sheet that can be seen'
  throw malformed('file is empty', `${where} is empty`, 'Name another sheet with sheet=<name>.')
}

/** Opens parts of a workbook by their paths, as long as what they unpack to is within the limit together. */
function partsOf(entries: ArchiveEntry[], limit: number, spent = { bytes: 0 }) {
  const byPath = new Map(entries.map((entry) => [entry.name.toLowerCase(), entry]))
  return (path: string | undefined): AsyncGenerator<Uint8Array> | undefined => {
    const entry = path === undefined ? undefined : byPath.get(path.toLowerCase())
    if (!entry) return undefined
    spent.bytes += entry.size
    if (spent.bytes > limit) {
      throw tooLarge(
        'workbook is too large for a request',
        `sheets and their texts unpack to ${spent.bytes} bytes, the limit is ${limit}`,
        'Save the sheet as "CSV UTF-8" and send that, or have the limit imports.max_workbook_bytes raised.',
      )
    }
    return entry.read()
  }
}

type OpenPart = ReturnType<typeof partsOf>

async function readWorkbook(open: OpenPart): Promise<Workbook> {
  const [main] = [...(await readRelationships(open, '')).values()].filter(
    ({ type }) => type === 'officeDocument',
  )
  if (!main || !/\bxl\//i.test(main.target)) throw notATable('an Office document that is no workbook')
  if (/\.bin$/i.test(main.target)) throw notATable('a binary Excel workbook (xlsb)')
  const part = open(main.target)
  if (!part) throw damaged(`it has no ${main.target}`)
  const related = await readRelationships(open, main.target)
  const partOf = (type: string) => [...related.values()].find((other) => other.type === type)?.target
  const workbook: Workbook = {
    sheets: [],
    is1904: false,
    texts: partOf('sharedStrings'),
    styles: partOf('styles'),
  }

  await finish(
    readXml(part, {
      open(name, attributes) {
        if (name === 'workbookPr') workbook.is1904 = /^(1|true)$/.test(attributes.date1904 ?? '')
        if (name !== 'sheet') return
        const id = Object.keys(attributes).find((key) => key.endsWith(':id'))
        const relation = related.get(id === undefined ? '' : (attributes[id] ?? ''))
        if (relation?.type !== 'worksheet') return // a sheet that is a chart
        const isHidden = /hidden$/i.test(attributes.state ?? '')
        workbook.sheets.push({ name: attributes.name ?? '', part: relation.target, isHidden })
        if (workbook.sheets.length > maxSheets) throw damaged(`it has more than ${maxSheets} sheets`)
      },
    }),
  )
  if (workbook.sheets.length === 0) throw malformed('workbook has no sheets')
  return workbook
}

interface Relationship {
  type: string
  target: string
}

/** What belongs to a part, by id; to the document itself where the path is empty. */
async function readRelationships(open: OpenPart, path: string): Promise<Map<string, Relationship>> {
  const folder = path.slice(0, path.lastIndexOf('/') + 1)
  const relationships = new Map<string, Relationship>()
  const part = open(`${folder}_rels/${path.slice(folder.length)}.rels`)
  if (!part) return relationships
  await finish(
    readXml(part, {
      open(name, { Id = '', Type = '', Target = '' }) {
        if (name !== 'Relationship') return
        const target = new URL(Target, `file:///${folder}`).pathname.slice(1)
        relationships.set(Id, { type: Type.slice(Type.lastIndexOf('/') + 1), target: decodeURI(target) })
        if (relationships.size > maxParts) throw damaged(`it has more than ${maxParts} parts`)
      },
    }),
  )
  return relationships
}

function findSheet(sheets: Sheet[], wanted: string): Sheet {
  const byName = sheets.find(({ name }) => name.toLowerCase() === wanted.toLowerCase())
  const found = byName ?? (/^\d+$/.test(wanted) ? sheets[Number(wanted) - 1] : undefined)
  if (found) return found
  const list = sheets.map(({ name }, index) => `${index + 1} ${JSON.stringify(name)}`).join(', ')
  throw malformed('sheet is unknown', `no sheet ${JSON.stringify(wanted)}`, `Sheets are: ${list}.`)
}

/** How each cell style shows a number. */
async function readStyles(part: AsyncGenerator<Uint8Array> | undefined): Promise<NumberStyle[]> {
  const codes = new Map<number, string>()
  const styles: NumberStyle[] = []
  let isOfCells = false
  if (!part) return styles
  await finish(
    readXml(part, {
      open(name, attributes) {
        if (name === 'numFmt') codes.set(Number(attributes.numFmtId), attributes.formatCode ?? '')
        else if (name === 'cellXfs') isOfCells = true
        else if (name === 'xf' && isOfCells) {
          const id = Number(attributes.numFmtId ?? 0)
          styles.push(numberStyle(id, codes.get(id)))
          if (styles.length > maxStyles) throw damaged(`it has more than ${maxStyles} styles`)
        }
      },
      close(name) {
        if (name === 'cellXfs') isOfCells = false
      },
    }),
  )
  return styles
}

/** The texts that cells refer to by number. */
async function readTexts(
  part: AsyncGenerator<Uint8Array> | undefined,
  { max_workbook_bytes }: WorkbookLimits,
): Promise<string[]> {
  const texts: string[] = []
  let text = ''
  let depth = 0 // within <t>, but not within <rPh>, which says how the text is spoken
  if (!part) return texts
  await finish(
    readXml(part, {
      open(name) {
        if (name === 'si') text = ''
        else if (name === 'rPh') depth -= 2
        else if (name === 't') depth++
      },
      text(more) {
        if (depth === 1) text += more
      },
      close(name) {
        if (name === 't') depth--
        else if (name === 'rPh') depth += 2
        else if (name === 'si') {
          texts.push(unescaped(text))
          if (texts.length > max_workbook_bytes / 16) throw damaged('it has too many empty texts')
        }
      },
    }),
  )
  return texts
}

/** How XML writes what it cannot hold: a carriage return as _x000D_. */
function unescaped(text: string): string {
  if (!text.includes('_x')) return text
  return text.replace(/_x([0-9A-F]{4})_/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

interface SheetContext {
  styles: NumberStyle[]
  texts: string[]
  is1904: boolean
  maxColumns: number
  maxLength: number
}

/** The rows of a sheet that have something in them. The first of them says how wide the table is. */
async function* readRows(
  part: AsyncGenerator<Uint8Array>,
  { styles, texts, is1904, maxColumns, maxLength }: SheetContext,
): AsyncGenerator<Row[]> {
  let rows: Row[] = []
  let defects: Defect[] = []
  let width = maxColumns + 1
  let line = 0
  let column = 0
  let cells: (string | null)[] = []
  let type = ''
  let style: NumberStyle | undefined
  let value = ''
  let isEmpty = true // no <v> and no <t>
  let depth = 0 // within <v> or <t> of a cell, but not within <rPh>
  let length = 0 // of all cells: any number of them may name the same text

  function cellText(): string | null {
    if (isEmpty) return null
    if (type === 's') return texts[Number(value)] ?? null
    if (type === 'inlineStr') return unescaped(value)
    if (type === 'str') return unescaped(value)
    if (type === 'b') return value.trim() === '1' || value.trim() === 'true' ? 'true' : 'false'
    if (type === 'd') return value.replace(/T00:00(:00(\.0*)?)?Z?$/, '')
    return type === 'e' || style === undefined ? value : numberText(value, style, is1904)
  }

  function addCell(text: string): void {
    // What lies beyond the table is kept, but not at its place: a row may reach to column XFD.
    const at = column <= width ? column - 1 : Math.max(cells.length, width)
    while (cells.length < at) cells.push(null)
    length += text.length
    if (length > maxLength) {
      throw tooLarge(
        'workbook is too large for a request',
        `its cells come to more than ${maxLength} characters`,
        'Save the sheet as "CSV UTF-8" and send that, or have the limit imports.max_workbook_bytes raised.',
      )
    }
    cells[at] = cleanCell(text, defects)
  }

  const handlers = {
    open(name: string, attributes: Record<string, string>) {
      if (name === 'c') {
        column = columnOf(attributes.r) ?? column + 1
        type = attributes.t ?? 'n'
        style = styles[Number(attributes.s ?? 0)] ?? { kind: 'number' }
        value = ''
        isEmpty = true
      } else if (name === 'v' || name === 't') {
        depth++
        isEmpty = false
      } else if (name === 'rPh') depth -= 2
      else if (name === 'row') {
        const number = Number(attributes.r)
        line = Number.isInteger(number) && number > 0 && number <= lastRow ? number : line + 1
        column = 0
        cells = []
        defects = []
      }
    },
    text(more: string) {
      if (depth === 1) value += more
    },
    close(name: string) {
      if (name === 'c') {
        const text = cellText()
        if (text) addCell(text)
      } else if (name === 'v' || name === 't') depth--
      else if (name === 'rPh') depth += 2
      else if (name === 'row' && cells.some((cell) => cell?.trim())) {
        if (width > maxColumns) width = cells.length
        rows.push(defects.length > 0 ? { cells, line, defects } : { cells, line })
      }
    },
  }
  for await (const _ of readXml(part, handlers)) {
    if (rows.length === 0) continue
    yield rows
    rows = []
  }
}

/** The number of a column in a reference such as AB12. */
function columnOf(reference: string | undefined): number | undefined {
  if (reference === undefined) return undefined
  let column = 0
  for (let at = 0; at < reference.length; at++) {
    const letter = reference.charCodeAt(at) - 64
    if (letter < 1 || letter > 26) break
    column = column * 26 + letter
  }
  return column > 0 && column <= 16_384 ? column : undefined
}

/** Reads on to the end. */
async function finish(reading: AsyncGenerator<void>): Promise<void> {
  for await (const _ of explained(reading));
}

/** What a reader of XML throws is the file's fault. */
async function* explained<T>(reading: AsyncGenerator<T>): AsyncGenerator<T> {
  try {
    yield* reading
  } catch (cause) {
    if (cause instanceof Refusal) throw cause
    throw damaged(cause instanceof Error ? cause.message : String(cause))
  }
}

function damaged(details: string): Error {
  return malformed(
    'workbook is damaged',
    details,
    'Open it in the spreadsheet program and save it again, or as CSV.',
  )
}
