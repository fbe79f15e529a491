import type { Random } from "../simulation/random.ts";
import type { Tally } from "../trial.ts";
import type { Answer } from "./instance.ts";
import type { Route } from "./terms.ts";

/** Where the life of one key is played. */
export interface Scene {
  readonly route: Route;
  readonly key: string;
  readonly random: Random;
  /** Sends a request with the key to any instance, as a balancer would. */
  press(payload?: string): Promise<Answer>;
  readonly tallies: {
    readonly answers: Tally;
    readonly crowds: Tally;
  };
  /** Takes how long an answer of a kind took, in ms. */
  time(kind: "first run" | "replay", ms: number): void;
  /** What the statistics have to show in the end. */
  readonly books: Books;
}

/** How often anything was run, failed, and was replayed. */
export interface Books {
  executions: number;
  failures: number;
  replays: number;
}

/** The life of one key: its presses, and what each has to be answered. */
type Story = (scene: Scene) => Promise<void>;

/** More of them than all instances have connections. */
const CROWD = 24;

/** The stories by route. */
export const STORIES: Record<Route, Story> = {
  async quick(scene) {
    const first = await firstRun(scene);
    scene.time("first run", first.ms);
    await replay(scene, first);
    if (!scene.random.chance(0.1)) return;
    expect(scene, await scene.press("another payload"), 422);
  },
  async failing(scene) {
    scene.books.executions++;
    scene.books.failures++;
    expect(scene, await scene.press(), 500);
    await replay(scene, await firstRun(scene));
  },
  async steps(scene) {
    await replay(scene, await firstRun(scene));
  },
  async crowded({ press, books, tallies, key }) {
    books.executions++;
    const answers = await Promise.all(
      Array.from({ length: CROWD }, () => press()),
    );
    const replays = answers.filter(({ isReplay }) => isReplay).length;
    books.replays += replays;
    const areAlike = new Set(answers.map(({ body }) => body)).size === 1 &&
      answers.every(({ status }) => status === 201);
    tallies.crowds.count(
      areAlike && replays === CROWD - 1,
      () => `${key}: ${replays} replays, ${told(answers)}`,
    );
  },
  async long(scene) {
    let isOver = false;
    const running = firstRun(scene).finally(() => isOver = true);
    running.catch(() => {});
    while (!isOver) {
      await sleep(1_000);
      if (isOver) break;
      const meanwhile = await scene.press();
      // Sent before the end, and answered after it.
      if (meanwhile.isReplay) scene.books.replays++;
      else expect(scene, meanwhile, 409);
    }
    await replay(scene, await running);
  },
};

/** How often each story is told, beside the others. */
export const WEIGHTS: Record<Route, number> = {
  quick: 70,
  failing: 10,
  steps: 12,
  crowded: 6,
  long: 2,
};

async function firstRun(scene: Scene): Promise<Answer> {
  scene.books.executions++;
  const first = await scene.press();
  expect(scene, first, 201);
  return first;
}

async function replay(scene: Scene, first: Answer): Promise<void> {
  for (let left = 1 + scene.random.below(4); left > 0; left--) {
    const again = await scene.press();
    if (again.isReplay) scene.books.replays++;
    scene.time("replay", again.ms);
    scene.tallies.answers.count(
      again.isReplay && again.status === first.status &&
        again.body === first.body,
      () => `${scene.key}: ${told([first, again])}`,
    );
  }
}

function expect(
  { tallies, key }: Scene,
  answer: Answer,
  status: number,
): void {
  tallies.answers.count(
    answer.status === status && !answer.isReplay,
    () => `${key}: expected ${status}, ${told([answer])}`,
  );
}

function told(answers: readonly Answer[]): string {
  return answers.map(({ status, body, isReplay, ms }) =>
    `${status}${isReplay ? " replayed" : ""} after ${ms.toFixed(0)} ms ${
      body.slice(0, 200)
    }`
  ).join("; ");
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
