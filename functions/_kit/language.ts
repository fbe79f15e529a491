import { parseAccept } from "hono/utils/accept";
import { z } from "zod";
import { varying } from "./envelope.ts";
import { mediaType } from "./read_request.ts";

/** What a problem document says: the members that it adds, by name. */
// deno-lint-ignore no-explicit-any -- each message knows those of its own code
export type Members = Record<string, any>;

/** What one code says to people. */
export interface Message {
  title: string;
  /** @param members What the problem adds to the standard's members. */
  detail(members: Members): string;
}

/** The messages of one language, by code. */
export type Catalogue = Readonly<Record<string, Message>>;

const Problem = z.looseObject({ code: z.string() });

/**
 * Gives a handler's problem documents in the language that the client prefers,
 * as far as the catalogues have it; English, in which they come, otherwise.
 *
 * Goes outside of everything that refuses, idempotency too: a recorded refusal
 * is replayed in the language of whoever asks again. Codes are for programs and
 * the same in every language.
 *
 * @param catalogues By language, a primary subtag such as `"ru"`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { problemResponse } from "../../shared/idempotency.ts";
 * import { withLanguage } from "./language.ts";
 *
 * const handler = withLanguage({
 *   ru: { SOLD_OUT: { title: "Распродано", detail: () => "Билетов нет" } },
 * }, () =>
 *   Promise.resolve(problemResponse({
 *     status: 409,
 *     code: "SOLD_OUT",
 *     title: "Sold out",
 *     detail: "There are no tickets",
 *   })));
 * const headers = { "Accept-Language": "ru-RU, en;q=0.8" };
 * const response = await handler(new Request("http://x", { headers }));
 * assertEquals(response.headers.get("Content-Language"), "ru");
 * assertEquals((await response.json()).detail, "Билетов нет");
 * ```
 */
export function withLanguage(
  catalogues: Readonly<Record<string, Catalogue>>,
  handler: (req: Request) => Promise<Response>,
): (req: Request) => Promise<Response> {
  const languages = ["en", ...Object.keys(catalogues)];
  return async (req) => {
    const response = await handler(req);
    const isProblem = mediaType(response) === "application/problem+json";
    // To HEAD there are the headers alone.
    if (!isProblem || response.body === null) return response;
    const language = preferred(req, languages);
    const said = Problem.safeParse(await response.clone().json());
    const message = said.success
      ? catalogues[language]?.[said.data.code]
      : undefined;
    const told = message === undefined ? response : new Response(
      JSON.stringify({
        ...said.data,
        title: message.title,
        detail: message.detail(said.data!),
      }),
      response,
    );
    const answer = varying(told, "Accept-Language");
    answer.headers.delete("Content-Length");
    answer.headers.set(
      "Content-Language",
      message === undefined ? "en" : language,
    );
    return answer;
  };
}

/** The first of the languages that the client takes, by its own order. */
function preferred(req: Request, languages: readonly string[]): string {
  const ranges = parseAccept(req.headers.get("accept-language") ?? "");
  for (const { type, q } of ranges) {
    const language = type.split("-")[0]!.toLowerCase();
    if (q > 0 && languages.includes(language)) return language;
  }
  return "en";
}
