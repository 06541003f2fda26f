import { cellsOf, customer } from './customers.ts'
import { productCells, productColumns } from './products.ts'
import { csvLine, header } from './rows.ts'

const count = 50

/** The sample files of examples/, by name. Two of the customers are wrong, to show what comes of it. */
export function exampleFiles(): Record<string, string> {
  const customers = numbers().map((number) => cellsOf(customer(number)))
  const [someone] = customers
  // A day that there is not, and a customer number that is taken.
  customers[16]?.splice(9, 1, '2024-02-30')
  customers[37]?.splice(0, 1, someone?.[0] ?? '')
  return {
    'customers.csv': csv([header, ...customers]),
    'products.csv': csv([productColumns, ...numbers().map(productCells)]),
  }
}

function numbers(): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

function csv(lines: string[][]): string {
  return lines.map((cells) => `${csvLine(cells)}\n`).join('')
}
