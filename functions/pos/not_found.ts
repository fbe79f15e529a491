import { Refusal } from "../_kit/refusal.ts";

/** The refusal of a request for what is not there, or is somebody else's. */
export function notFound(
  what: "location" | "route" | "sale",
  name: string,
): Refusal {
  return new Refusal({
    status: 404,
    code: `${what.toUpperCase()}_NOT_FOUND`,
    title: `${what[0]!.toUpperCase()}${what.slice(1)} not found`,
    detail: what === "route"
      ? `The point of sale has no route ${name}: check the path`
      : `There is no ${what} ${name} in a business of yours: check the id`,
  });
}
