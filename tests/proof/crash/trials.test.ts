import { anySeed, testTrial } from "../trial.ts";
import { crashTrials } from "./trials.ts";

// Kills in each run; of what may be taken away besides, two things in a row,
// of which chance chooses the first: each takes both processors for seconds.
const MOST = 2;

const [kills, ...others] = crashTrials;
const first = anySeed() % others.length;
const chosen = [...others, ...others].slice(first, first + MOST);
for (const trial of [kills!, ...chosen]) testTrial(trial, 2);
