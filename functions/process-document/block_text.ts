/**
 * Collects the text of a document that consists of blocks: white space is one
 * space, a block ends its line, and a paragraph has an empty line behind it.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { BlockText } from "./block_text.ts";
 *
 * const text = new BlockText();
 * text.add(" One\n block ");
 * text.endParagraph();
 * text.add("Another");
 * assertEquals(`${text}`, "One block\n\nAnother");
 * ```
 */
export class BlockText {
  readonly #parts: string[] = [];
  /** White space that is owed to the next word, if one comes. */
  #owed = "";
  /** How much that separates. Told apart, since to look at what grows copies all of it. */
  #weight = 0;
  /** Whether nothing has come yet, of the text or of a cell of it. */
  #isAtStart = true;

  /** Adds text whose white space means nothing but that there is some. */
  add(text: string): void {
    const words = text.replace(/[ \t\n\r\f]+/g, " ");
    if (words.startsWith(" ")) this.#owe(" ");
    this.addAsIs(words.replace(/^ | $/g, ""));
    if (words.endsWith(" ")) this.#owe(" ");
  }

  /** Adds text whose white space is part of it. */
  addAsIs(text: string): void {
    if (text === "") return;
    this.#parts.push(this.#owed, text);
    this.#owed = "";
    this.#weight = 0;
    this.#isAtStart = false;
  }

  endLine(): void {
    this.#owe("\n");
  }

  endParagraph(): void {
    this.#owe("\n\n");
  }

  /** Where a cell begins, its first block begins no line. */
  beginCell(): void {
    this.#isAtStart = true;
  }

  /** Where a cell ends, its last block ends no line. */
  endCell(): void {
    this.#owed = this.#isAtStart ? `${this.#owed}\t` : "\t";
    this.#weight = WEIGHTS.indexOf("\t");
    this.#isAtStart = this.#parts.length === 0;
  }

  toString(): string {
    return this.#parts.join("");
  }

  // Of two that follow each other, what separates more is meant.
  #owe(space: " " | "\n" | "\n\n"): void {
    const weight = WEIGHTS.indexOf(space);
    if (this.#isAtStart || weight <= this.#weight) return;
    this.#owed = space;
    this.#weight = weight;
  }
}

const WEIGHTS = ["", " ", "\t", "\n", "\n\n"];
