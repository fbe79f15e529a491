import { Refusal } from "./refusal.ts";

/**
 * Admits one method.
 *
 * @throws {Refusal} 405 with `Allow`.
 */
export function requireMethod(req: Request, method: "GET" | "POST"): void {
  if (req.method === method) return;
  throw new Refusal({
    status: 405,
    code: "METHOD_NOT_ALLOWED",
    title: "Method not allowed",
    detail: `This route does not take ${req.method}: send ${method}`,
    headers: { Allow: `${method}, OPTIONS` },
  });
}
