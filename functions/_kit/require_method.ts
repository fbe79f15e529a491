import { Refusal } from "./refusal.ts";

type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/**
 * Admits the methods that a route takes.
 *
 * @throws {Refusal} 405 with `Allow`.
 */
export function requireMethod(
  req: Request,
  ...methods: readonly Method[]
): void {
  if (methods.some((method) => req.method === method)) return;
  throw new Refusal({
    status: 405,
    code: "METHOD_NOT_ALLOWED",
    title: "Method not allowed",
    detail: `This route does not take ${req.method}: send ${
      methods.join(" or ")
    }`,
    headers: { Allow: `${methods.join(", ")}, OPTIONS` },
  });
}
