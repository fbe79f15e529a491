/** One place of a file, broken. */
export interface Mutant {
  /** From the repository's root. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** The last line that is changed. */
  readonly lastLine: number;
  /** The SQL function in whose body it is. */
  readonly routine: string | null;
  /** Names it although lines above it move. */
  readonly name: string;
  /** What is changed, as a person would say it. */
  readonly change: string;
  /** The whole file as it is then. */
  readonly text: string;
}

/** A piece of a file, and what takes its place. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly to: string;
  /** See {@link Mutant.routine}. */
  readonly routine?: string | null;
}

const MOST_SHOWN = 70;

/** Makes a mutant of a file. */
export function mutantOf(
  file: string,
  source: string,
  { start, end, to, routine = null }: Edit,
): Mutant {
  const from = source.slice(start, end);
  const line = source.slice(0, start).split("\n").length;
  const change = `${shown(from)} -> ${shown(to) || "nothing"}`;
  const context = source.split("\n")[line - 1]!;
  return {
    file,
    line,
    lastLine: line + from.split("\n").length - 1,
    routine,
    name: `${file}: ${change} | ${shown(context)}`,
    change,
    text: source.slice(0, start) + to + source.slice(end),
  };
}

function shown(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > MOST_SHOWN ? `${line.slice(0, MOST_SHOWN)}…` : line;
}
