import { z } from "zod";
import {
  day,
  readJson,
  readQuery,
  storableText,
} from "../_kit/read_request.ts";
import { Refusal } from "../_kit/refuse.ts";
import { readCount } from "./count.ts";
import type { PosOperation } from "./perform.ts";

// The bounds are those of the database's pos_lines.
const Lines = z
  .array(z.strictObject({
    productId: z.guid().toLowerCase(),
    quantity: z.int().min(1).max(10_000),
  }))
  .min(1)
  .max(200)
  .refine(
    (lines) =>
      new Set(lines.map(({ productId }) => productId)).size === lines.length,
    "names a product twice: add the quantities up",
  );

const amount = z.int().min(1);
const reference = storableText(100).exactOptional();
const method = z.enum(["cash", "card", "transfer", "voucher"]);

const BRANCH = String.raw`(\d{3}|\d{5})`;
const TIN = String.raw`\d{3}-\d{3}-\d{3}`;
const tin = z.string().regex(
  new RegExp(`^${TIN}$`),
  "has nine digits: 123-456-789",
);
const serial = z.int().min(1).max(999_999_999_999);
const numbered = { number: storableText(50), issuedOn: day };

/** What later invoices say of the seller, and which serial numbers they have. */
const RegistrationRequest = z.strictObject({
  registeredName: storableText(200),
  tin,
  branchCode: z.string().regex(
    new RegExp(`^${BRANCH}$`),
    "has three or five digits: 00000 is the head office",
  ),
  address: storableText(300),
  vatRegistered: z.boolean(),
  permit: z.strictObject({
    ...numbered,
    firstSerial: serial,
    lastSerial: serial,
  }).refine(
    ({ firstSerial, lastSerial }) => firstSerial <= lastSerial,
    "ends before it starts",
  ),
  accreditation: z.strictObject(numbered).exactOptional(),
});

const Buyer = z.strictObject({
  name: storableText(200).exactOptional(),
  tin: z.string().regex(
    new RegExp(`^${TIN}(-${BRANCH})?$`),
    "has nine digits, and a branch code where there is one: 123-456-789-00000",
  ).exactOptional(),
  address: storableText(300).exactOptional(),
});

// Strict, as what is left out has a meaning: what is misspelt is not left out.

/** Without payments: the total in cash. */
const SaleRequest = z.strictObject({
  locationId: z.guid(),
  lines: Lines,
  payments: z.array(
    z.strictObject({
      method,
      amount,
      tendered: amount.exactOptional(),
      reference,
    }).refine(
      ({ method, amount, tendered }) =>
        tendered === undefined || (method === "cash" && tendered >= amount),
      "only cash is tendered, and no less than the amount",
    ),
  ).max(10).exactOptional(),
  buyer: Buyer.exactOptional(),
});

/** Without lines: all that is left of the sale. */
const RefundRequest = z.strictObject({
  lines: Lines.optional(),
  payments: z.array(z.strictObject({ method, amount, reference })).max(10)
    .exactOptional(),
});

/**
 * The routes that write: each is the scope of its keys, and names the operation
 * to the database. Without a body the path says it all.
 */
export const writes: {
  operation: PosOperation;
  body?: z.ZodType<Record<string, unknown>> | "csv";
}[] = [
  {
    operation: "pos/businesses/:id/registration",
    body: RegistrationRequest,
  },
  { operation: "pos/sales", body: SaleRequest },
  { operation: "pos/sales/:id/refund", body: RefundRequest },
  { operation: "pos/purchases/receipts/:id/approve" },
  { operation: "pos/purchases/returns/:id/approve" },
  { operation: "pos/transfers/:id/send" },
  { operation: "pos/transfers/:id/receive" },
  { operation: "pos/inventory/corrections/:id/approve" },
  { operation: "pos/locations/:id/counts", body: "csv" },
];

/** Reads the body of a route that writes. */
export async function readBody(
  req: Request,
  { body }: (typeof writes)[number],
): Promise<Record<string, unknown> | undefined> {
  if (body === undefined) return undefined;
  return body === "csv" ? await readCount(req) : await readJson(req, body);
}

const Page = z.object({
  after: z.guid().optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});

/**
 * Reads the id in a path.
 *
 * @throws {Refusal} 400 when it is not a UUID.
 */
export function readId(value: string): string {
  const parsed = z.guid().safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Refusal({
    status: 400,
    code: "REQUEST_INVALID",
    title: "Invalid request",
    detail: `The path is not as expected: ${parsed.error.issues[0]!.message}`,
  });
}

/**
 * Reads which part of a list is asked for.
 *
 * @throws {Refusal} 400 when it is not to be understood.
 */
export function readPage(req: Request): z.output<typeof Page> {
  return readQuery(req, Page);
}
