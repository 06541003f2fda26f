import type { Buffer } from 'node:buffer'
import { zip } from '../../local/demo/zip.ts'

/** The parts of a workbook that a test writes by hand. */
export interface WorkbookParts {
  /** The names of the sheets, and the insides of their <sheetData>. */
  sheets: [name: string, rows: string][]
  hidden?: string[]
  /** The insides of <sst>. */
  texts?: string
  /** The insides of <styleSheet>. */
  styles?: string
  is1904?: boolean
}

const relations = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships'

/** A workbook as a spreadsheet program writes it, with the least that belongs to one. */
export function workbook({ sheets, hidden = [], texts, styles, is1904 }: WorkbookParts): Buffer {
  const list = sheets.map(
    ([name], i) =>
      `<sheet name="${name}" sheetId="${i + 1}"${hidden.includes(name) ? ' state="hidden"' : ''} r:id="rId${i + 1}"/>`,
  )
  const related = sheets.map((_, i) => relation(`rId${i + 1}`, 'worksheet', `worksheets/sheet${i + 1}.xml`))
  if (texts !== undefined) related.push(relation('rIdT', 'sharedStrings', 'sharedStrings.xml'))
  if (styles !== undefined) related.push(relation('rIdS', 'styles', '/xl/styles.xml'))
  return zip([
    { name: '[Content_Types].xml', content: '<Types/>' },
    {
      name: '_rels/.rels',
      content: `<Relationships>${relation('r', 'officeDocument', 'xl/workbook.xml')}</Relationships>`,
    },
    {
      name: 'xl/workbook.xml',
      content: `<?xml version="1.0" encoding="UTF-8"?>\n<workbook xmlns:r="${relations}"><workbookPr${
        is1904 ? ' date1904="1"' : ''
      }/><sheets>${list.join('')}</sheets></workbook>`,
    },
    { name: 'xl/_rels/workbook.xml.rels', content: `<Relationships>${related.join('')}</Relationships>` },
    ...sheets.map(([, rows], i) => ({
      name: `xl/worksheets/sheet${i + 1}.xml`,
      content: `<worksheet><dimension ref="A1:XFD1048576"/><sheetData>${rows}</sheetData></worksheet>`,
    })),
    ...(texts === undefined ? [] : [{ name: 'xl/SharedStrings.xml', content: `<sst>${texts}</sst>` }]),
    ...(styles === undefined
      ? []
      : [{ name: 'xl/styles.xml', content: `<styleSheet>${styles}</styleSheet>` }]),
  ])
}

function relation(id: string, type: string, target: string): string {
  return `<Relationship Id="${id}" Type="${relations}/${type}" Target="${target}"/>`
}
