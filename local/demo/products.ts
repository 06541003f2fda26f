import { seeded } from './random.ts'

/** The columns of the sample file of products. */
export const productColumns = [
  'sku',
  'name',
  'description',
  'category',
  'unit_price',
  'currency',
  'weight_kg',
  'barcode',
  'is_active',
]

const kinds = [
  { name: 'Espresso beans', category: 'Coffee', unit: '1 kg', kilograms: 1, cents: 2190 },
  { name: 'Filter paper', category: 'Coffee', unit: '100 sheets', kilograms: 0.12, cents: 349 },
  { name: 'Darjeeling tea', category: 'Tea', unit: '250 g', kilograms: 0.25, cents: 1290 },
  { name: 'Müsli, crunchy', category: 'Breakfast', unit: '750 g', kilograms: 0.75, cents: 599 },
  { name: 'Crème fraîche', category: 'Dairy', unit: '200 g', kilograms: 0.2, cents: 189 },
  { name: 'Olive oil', category: 'Oils', unit: '500 ml', kilograms: 0.46, cents: 1150 },
  { name: 'Sourdough loaf', category: 'Bakery', unit: '500 g', kilograms: 0.5, cents: 480 },
  { name: 'Cup "Åland", blue', category: 'Tableware', unit: '1 piece', kilograms: 0.31, cents: 1495 },
]
const makers = ['Norte', 'Brückner', 'Alba', 'Kungs', 'Maison Lefèvre', 'Wild & Sons']

/** The cells of a made-up product; the same number is always the same one. */
export function productCells(number: number): string[] {
  const random = seeded(number)
  const kind = random.pick(kinds)
  return [
    productNumber(number),
    `${random.pick(makers)} ${kind.name}`,
    random.below(3) === 0 ? '' : `${kind.name}, ${kind.unit}`,
    kind.category,
    ((kind.cents * (90 + random.below(30))) / 10_000).toFixed(2),
    'EUR',
    kind.kilograms.toFixed(3),
    random.below(4) === 0 ? '' : barcode(number),
    String(random.below(10) > 0),
  ]
}

/** The article number. */
export function productNumber(number: number): string {
  return `P-${1000 + number}`
}

/** An EAN-13 with its check digit, from the range that shops may use as they like. */
function barcode(number: number): string {
  const digits = `20${String(number).padStart(10, '0')}`
  const sum = [...digits].reduce(
    (total, digit, index) => total + Number(digit) * (index % 2 === 0 ? 1 : 3),
    0,
  )
  return digits + ((10 - (sum % 10)) % 10)
}
