/** What a model is to learn: this answer to this prompt. */
export interface Example {
  prompt: string;
  answer: string;
}

/** `qa`: question and answer; `completion`: a text and how it goes on. */
export type ExampleFormat = "completion" | "qa";

/** A document as examples are made from it. */
export interface SourceDocument {
  title: string;
  mimeType: string;
  text: string;
}
