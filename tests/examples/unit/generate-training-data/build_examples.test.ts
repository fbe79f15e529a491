import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  buildExamples,
  countTokens,
  documentExamples,
  toJsonLines,
} from "../../../../functions/generate-training-data/examples.ts";
import { markdownSections } from "../../../../functions/generate-training-data/sections.ts";

const guide = {
  title: "Keys for couriers",
  mimeType: "text/markdown",
  text: await Deno.readTextFile(
    new URL("../../../fixtures/guide.md", import.meta.url),
  ),
};

const answerTo = (prompt: string) =>
  buildExamples(guide, "qa").find((example) => example.prompt === prompt)
    ?.answer;

Deno.test("buildExamples() asks a heading that is a question as it stands", () => {
  assertEquals(
    answerTo("What is a key?")?.startsWith(
      "A key is a name for one intention.",
    ),
    true,
  );
});

Deno.test("buildExamples() asks for what stands under any other heading", () => {
  const answer = answerTo(
    'What does "Keys for couriers" say about "Keys for couriers 📦 › Rules"?',
  );
  assert(answer?.startsWith("- Leases are the only timers"));
  assert(answer?.endsWith("echo once\n```"));
});

Deno.test("buildExamples() makes a question of a definition, without markup", () => {
  assertEquals(
    answerTo("What are Leases?"),
    "Leases are the only timers in this guide, and the database keeps them.",
  );
});

Deno.test("buildExamples() asks for the rarest word of a sentence", () => {
  const gapped =
    'Fill in the missing word, from "Keys for couriers": Every parcel has a label, and so has every ____.';
  assertEquals(answerTo(gapped), "request");
});

Deno.test("buildExamples() takes no heading and no sentence from code", () => {
  for (const format of ["qa", "completion"] as const) {
    for (const { prompt } of buildExamples(guide, format)) {
      assertEquals(prompt.includes("not a heading"), false);
    }
  }
});

Deno.test("buildExamples() finds the headings of text without markup", () => {
  const text =
    "Lost letters\n\nA letter that is lost twice was sent twice.\n\nCounting\nCareful senders number them.";
  const document = { title: "T", mimeType: "text/plain", text };
  const prompts = buildExamples(document, "qa").map(({ prompt }) => prompt);
  assert(prompts.includes('What does "T" say about "Counting"?'));
});

Deno.test("buildExamples() halves passages for completion, headings first", () => {
  const [example] = buildExamples(guide, "completion");
  assertEquals(example, {
    prompt:
      "Keys for couriers › Keys for couriers 📦 › What is a key?\n\nA key is a name for one intention.",
    answer:
      " The client chooses it before the first attempt and sends it again with every retry.",
  });
});

Deno.test("buildExamples() gives the same examples each time, none twice or empty", () => {
  const anyText = fc.string({
    maxLength: 400,
    unit: fc.constantFrom(
      "# ",
      "\n",
      "\n\n",
      "- ",
      "A lease is a timer. ",
      "Every retry carries the same key again. ",
      "**",
      "`",
      "😀 ",
      "> ",
    ),
  });
  fc.assert(fc.property(
    anyText,
    fc.constantFrom("text/markdown", "text/plain"),
    fc.constantFrom("qa" as const, "completion" as const),
    (text, mimeType, format) => {
      const document = { title: "T", mimeType, text };
      const examples = buildExamples(document, format);
      assertEquals(buildExamples(document, format), examples);
      const lines = toJsonLines(examples, format).split("\n").slice(0, -1);
      assertEquals(new Set(lines).size, examples.length);
      for (const { prompt, answer } of examples) {
        assert(prompt.trim() !== "" && answer.trim() !== "");
      }
    },
  ));
});

Deno.test("buildExamples() leaves out what no model can learn from", () => {
  const text = `# Key\n\nThe key of today is ${"QUJD".repeat(2000)} for all.`;
  const document = { title: "T", mimeType: "text/markdown", text };
  assertEquals(buildExamples(document, "qa"), []);
});

Deno.test("documentExamples() does not count for ever through gaps between words", () => {
  // Each of another length: of the same ones the tokenizer remembers the first.
  const lines = Array.from(
    { length: 100 },
    (_, index) => `The key${"\u3000".repeat(3_800 + index)}of today.\n`,
  );
  const text = `# Key\n\n${lines.join("")}`;
  const document = { title: "T", mimeType: "text/markdown", text };
  const start = performance.now();
  assert(documentExamples(document, "qa").examples > 0);
  // A fraction of a second; with all of each gap half a minute.
  assert(performance.now() - start < 10_000);
});

Deno.test("countTokens() counts as the models do, control tokens as text", () => {
  assertEquals(countTokens("hello world"), 2);
  assertEquals(countTokens(""), 0);
  assert(countTokens("<|endoftext|>") > 1);
});

Deno.test("buildExamples() makes as much of a document with an image in it as without", () => {
  const image = `![image1](data:image/png;base64,${"QmFzZTY0".repeat(25_000)})`;
  const manual = (image: string) => ({
    title: "Pump",
    mimeType: "text/markdown",
    text: "# Pump manual\n\nThe pump moves 40 litres a minute. " +
      `It needs 230 volts.\n\n${image}\n\nThe valve is a part that closes ` +
      "the pipe. Check it every month.\n",
  });
  for (const format of ["qa", "completion"] as const) {
    assertEquals(
      buildExamples(manual(image), format).length,
      buildExamples(manual(""), format).length,
    );
    assertEquals(
      buildExamples(manual(image), format),
      buildExamples(manual("![image1]()"), format),
    );
  }
});

Deno.test("a list of many items is as many passages", () => {
  const [section] = markdownSections("- a\n".repeat(130_000));
  assertEquals(section?.passages.length, 130_000);
});

Deno.test("markdownSections() does not look for ever for the end of emphasis that has none", () => {
  const text = "A **strong** word, ~~struck~~.\n\n" +
    "**a* ".repeat(9_000) + "~~a~ ".repeat(9_000);
  const start = performance.now();
  const [section] = markdownSections(text);
  assertEquals(section!.passages[0], "A strong word, struck.");
  // A second; each through all of the rest takes a minute.
  assert(performance.now() - start < 10_000);
});

Deno.test("buildExamples() does not repeat a paragraph that is marked as a heading in thousands of prompts", () => {
  const heading = `# ${"word ".repeat(20_000)}\n\n`;
  const sentences =
    "Every letter of theirs was sent twice. Nobody had asked for it.\n\n";
  const text = heading + `## Letters\n\n${sentences}`.repeat(2_000);
  const document = { title: "T", mimeType: "text/markdown", text };
  for (const format of ["qa", "completion"] as const) {
    const examples = buildExamples(document, format);
    assert(examples.length > 0);
    assert(examples.every(({ prompt }) => prompt.length < 200));
  }
  // One that is long and stands above little is a heading like any other.
  const little = { ...document, text: heading + sentences };
  const [example] = buildExamples(little, "completion");
  assert(example!.prompt.includes("word word"));
});
