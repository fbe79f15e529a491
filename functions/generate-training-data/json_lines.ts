import type { Example, ExampleFormat } from "./example.ts";

/**
 * Examples in the form that fine-tuning providers take: one JSON object a line,
 * chat messages for `qa`, prompt and completion for `completion`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { toJsonLines } from "./json_lines.ts";
 *
 * assertEquals(
 *   toJsonLines([{ prompt: "One", answer: " two" }], "completion"),
 *   '{"prompt":"One","completion":" two"}\n',
 * );
 * ```
 */
export function toJsonLines(
  examples: Example[],
  format: ExampleFormat,
): string {
  return examples
    .map(({ prompt, answer }) =>
      format === "completion" ? { prompt, completion: answer } : {
        messages: [
          { role: "user", content: prompt },
          { role: "assistant", content: answer },
        ],
      }
    )
    .map((line) => JSON.stringify(line) + "\n")
    .join("");
}
