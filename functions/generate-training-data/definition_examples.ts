import type { Example } from "./example.ts";

// "A lease is the time …", "Leases are …", "Idempotency means …". English only:
// a sentence of another language yields no example, not a wrong one.
const DEFINITION =
  /^(?:an?\s+|the\s+)?(?<term>\p{L}[\p{L}\p{N}'’-]*(?: [\p{L}\p{N}'’-]+){0,3}?) (?<verb>is|are|means) (?:an?|the|any|one|what|whatever|how|that) /iu;

// A word that refers back: "It is the …" defines nothing that can be asked for.
const REFERRING =
  /^(?:he|here|it|one|she|that|then|there|these|they|this|those|we|what|which|who|you)\b/i;

/**
 * An example for each sentence that defines a term.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { definitionExamples } from "./definition_examples.ts";
 *
 * assertEquals(definitionExamples(["A lease is the time a claim lasts."]), [
 *   { prompt: "What is a lease?", answer: "A lease is the time a claim lasts." },
 * ]);
 * ```
 */
export function definitionExamples(sentences: string[]): Example[] {
  return sentences.flatMap((sentence) => {
    const match = DEFINITION.exec(sentence);
    if (match === null || REFERRING.test(match.groups!.term!)) return [];
    const subject = match[0].slice(
      0,
      match[0].indexOf(match.groups!.term!) + match.groups!.term!.length,
    );
    const question = match.groups!.verb!.toLowerCase() === "are"
      ? `What are ${lowerArticle(subject)}?`
      : `What is ${lowerArticle(subject)}?`;
    return [{ prompt: question, answer: sentence }];
  });
}

function lowerArticle(subject: string): string {
  return subject.replace(/^(?:An?|The)\b/, (article) => article.toLowerCase());
}
