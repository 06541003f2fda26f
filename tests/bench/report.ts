import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { denoBinary } from '../../local/binaries.ts'
import type { OwnStack } from '../../local/demo/endpoint.ts'
import { whole } from '../../local/demo/format.ts'
import { asPostgres } from '../../local/demo/prepare.ts'

/** Something that was timed; without a time of its own it was worked out. */
export type Measurement = { what: string; milliseconds: number; rows: number }

/** What is reported of a run. */
export type Report = {
  rows: number
  fileBytes: number
  yardstick: number
  measurements: Measurement[]
  /** Other figures, by name. */
  figures: [what: string, value: string][]
  notes: string[]
}

/** The columns of the table of measurements, numbers to the right. */
export const measurementHeader = ['', '>seconds', '>rows/s', '>x COPY']

/** A measurement as cells. */
export function measurementCells({ what, milliseconds, rows }: Measurement, yardstick: number): string[] {
  return [
    what,
    (milliseconds / 1000).toFixed(2),
    whole((rows / milliseconds) * 1000),
    (milliseconds / yardstick).toFixed(2),
  ]
}

/** The machine and the versions, one line each. */
export async function machine(stack: OwnStack): Promise<string[]> {
  const [version] = await asPostgres(stack, (sql) => sql<{ server_version: string }[]>`show server_version`)
  const [processor] = cpus()
  return [
    `${cpus().length} cores (${processor?.model.trim() || process.arch}), ${Math.round(totalmem() / 1024 ** 3)} GB of memory, ${process.platform}`,
    `PostgreSQL ${version?.server_version}, Node ${process.version.slice(1)}, Deno ${denoVersion()}`,
  ]
}

/** docs/benchmarks.md: a part under no heading, and sections, each of which another run writes anew. */
const reportFile = join(import.meta.dirname, '../../docs/benchmarks.md')

/** Writes a section in place of the one with that heading; without a heading, what comes before them all. */
export function writeSection(text: string, heading = ''): void {
  const sections = readFileSync(reportFile, 'utf8').split(/^(?=## )/m)
  const isSame = (section: string) =>
    section.split('\n')[0] === heading || (!heading && !section.startsWith('## '))
  const at = sections.findIndex(isSame)
  sections.splice(
    at < 0 ? sections.length : at,
    1,
    `${[heading, text].filter(Boolean).join('\n\n').trimEnd()}\n`,
  )
  writeFileSync(
    reportFile,
    sections
      .map((section) => section.trimEnd())
      .join('\n\n')
      .concat('\n'),
  )
}

/** What the import of customers came to. */
export function markdown(report: Report, machineLines: string[], day: string): string {
  const cells = report.measurements.map((one) => measurementCells(one, report.yardstick))
  return `# Benchmarks

\`\`\`
npm run bench -- --rows ${report.rows}
\`\`\`

Written by that command on ${day}. One run on one stack: everything in it, the client that sends the file included,
shares the same machine.

${machineLines.map((line) => `- ${line}`).join('\n')}
- A CSV file of ${whole(report.rows)} rows with nine columns, ${(report.fileBytes / 1e6).toFixed(1)} MB; two workers

${markdownTable(measurementHeader, cells)}

${markdownTable(['', '>'], report.figures)}

${report.notes.map((note) => `- ${note}`).join('\n')}
`
}

/** A table as Markdown has it. */
export function markdownTable(header: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [
    line(header.map((title) => title.replace(/^>/, ''))),
    line(header.map((title) => (title.startsWith('>') ? '---:' : '---'))),
    ...rows.map(line),
  ].join('\n')
}

function denoVersion(): string {
  return execFileSync(denoBinary(), ['--version'], { encoding: 'utf8' }).split(' ')[1] ?? ''
}
